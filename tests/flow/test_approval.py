"""The approval page's own function on a real release: keys are replaced, guessers flood it, and people decide."""

from __future__ import annotations

from tagship import runtime
from tagship.approval.store import FORMS_A_MINUTE, REFUSED_A_MINUTE
from tests.flow.harness import World, client_of, well_only

ANA, BO = "ana@example.com", "bo@example.com"


def asked(world: World) -> str:
    world.configure(approval={"approvers": [ANA, BO], "required": 2})
    return world.start(world.upload("v1.0.0"))


def test_a_link_signed_with_the_previous_key_is_accepted_while_the_page_knows_that_key(world: World) -> None:
    arn = asked(world)
    link = world.link(arn) or ""
    new = client_of("kms").create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"][
        "Arn"
    ]
    for others, status in (("", 403), (world.link_key, 200)):
        world.patch.setenv("TAGSHIP_LINK_KEY", new)
        world.patch.setenv("TAGSHIP_OTHER_LINK_KEYS", others)
        runtime._runtime.cache_clear()
        assert world.browse("GET", link)["statusCode"] == status
    assert world.press(link, decide="approve")["statusCode"] == 200
    world.stop(arn)


def test_neither_guesses_nor_scanners_keep_an_approver_from_deciding(world: World) -> None:
    """Faults 15 and 19: all from the approver's own address, as behind one company's proxy."""
    arn = asked(world)
    link, other = world.link(arn) or "", world.link(arn, who=BO) or ""
    world.patch.setattr("tagship.ledger.visits._minute", lambda now: "this minute")
    guesses = [world.browse("GET", link[:-5] + f"{n:05}")["statusCode"] for n in range(REFUSED_A_MINUTE + 10)]
    assert guesses == [403] * REFUSED_A_MINUTE + [429] * 10
    for method in ("GET", "HEAD") * 5:
        assert world.browse(method, link)["statusCode"] == 200
    blind = [world.press_blindly(link)["statusCode"] for _ in range(FORMS_A_MINUTE + 1)]
    assert blind == [409] * FORMS_A_MINUTE + [429]
    assert world.press(other, decide="approve")["statusCode"] == 200
    refused = [
        (fact["data"]["reason"], fact["data"]["count"])
        for fact in world.ledger.facts_of("storefront", "v1.0.0")
        if fact["name"] == "Link Refused"
    ]
    assert refused == [
        ("altered", 1),
        ("altered", 10),
        ("too many from one address", 1),
        ("too many from one address", 10),
    ]
    world.stop(arn)


def test_an_approver_can_see_the_outcome_afterwards(world: World) -> None:
    world.health = well_only("1")
    arn = world.start(world.upload("v1.0.0"))
    link = world.link(arn) or ""
    world.press(link, decide="approve")
    world.ended(arn)
    page = world.browse("GET", f"{link}&follow=1")
    assert page["statusCode"] == 200
    assert "v1.0.0 was rolled back" in page["body"]
    assert "Refresh" not in page["headers"]
