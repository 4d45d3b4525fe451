"""Retention is not part of the flow: a release waits for it, and a rollback does not."""

from __future__ import annotations

from tagship.ledger import lock, made
from tests.flow.harness import World, wait_for

KIM = "arn:aws:iam::000000000000:user/kim"


def borrowed(world: World, tag: str, *, seconds: int) -> int:
    return lock.borrow(
        world.ledger, application="storefront", tag=tag, attempt=1, execution=KIM, seconds=seconds
    ).fence


def test_a_release_waits_during_a_retention_run_but_a_rollback_does_not(world: World) -> None:
    """Fault 97. A sweep ignores a crashed retention run, because it was not a rollback."""
    assert world.release("v1.0.0").status == "SUCCEEDED"
    fence = borrowed(world, "v1.0.0", seconds=300)
    holders: list[str] = []

    def looks(event: dict[str, object]) -> object:
        holders.append(str(world.holder()["execution"]))
        return world.handlers["acquire_lock"](event, None)

    world.plant("acquire_lock", looks)
    arn = world.start(world.upload("v1.1.0"))
    assert wait_for(lambda: holders or None, "the release to ask for the lock") == [KIM]
    assert lock.give_back(world.ledger, application="storefront", fence=fence)
    world.decide(arn)
    assert world.ended(arn).status == "SUCCEEDED"

    fence = borrowed(world, "v1.1.0", seconds=-1)
    assert not [did for did in world.handlers["sweep"]({}, None)["did"] if "rollback" in did]
    order = {"application": "storefront", "tag": "v1.1.0", "trigger": "operator", "why": "bad", "by": KIM}
    assert world.ended(world.start(order, "rollback")).status == "SUCCEEDED"
    assert world.alias() == ("2", {}), "of v1.0.0"
    assert not lock.give_back(world.ledger, application="storefront", fence=fence)


def test_the_ledger_names_a_releases_candidate_even_if_it_never_got_traffic(world: World) -> None:
    """Fault 97: otherwise nobody would delete the version of a candidate that failed its checks."""
    world.configure()
    world.health = lambda _version, _event: {"healthy": False}
    assert world.release("v1.0.0").error == "ReleaseInvalid"
    intended, published = sorted(
        made.every(world.ledger, "storefront")["v1.0.0"], key=lambda each: each["id"]
    )
    assert (intended["id"], published["id"]) == ("", "2")
    assert intended["digest"] == published["digest"]
