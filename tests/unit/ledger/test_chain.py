"""Reading a chain back names anything altered, removed, moved or rewritten, and confirms an intact chain."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagship.ledger import chain
from tagship.ledger.chain import Anchor, Break
from tagship.ledger.table import Fact, Item, Ledger, digest_of

few = settings(max_examples=30)  # the table of kinds is small; the whole folder shares one core
APPLICATION = "storefront"
TAGS = ("v1.0.0", "v1.1.0")


def link(seq: int, previous: str, data: Any, *, application: str = APPLICATION) -> Item:
    item = {
        "pk": f"APPLICATION#{application}",
        "sk": f"FACT#{TAGS[seq % 2]}#0001#Traffic Shifted#{seq}",
        "kind": "fact",
        "seq": seq,
        "application": application,
        "tag": TAGS[seq % 2],
        "attempt": 1,
        "stage": "production",
        "name": "Traffic Shifted",
        "who": "tagship",
        "at": "2026-11-23T10:00:00.000Z",
        "execution": "one",
        "data": data,
        "previous": previous,
    }
    return item | {"digest": digest_of(item)}


def made(contents: list[Any]) -> list[Item]:
    facts: list[Item] = []
    for seq, data in enumerate(contents, start=1):
        facts.append(link(seq, facts[-1]["digest"] if facts else "", data))
    return facts


def head(facts: list[Item]) -> Item | None:
    return {"last": len(facts), "digest": facts[-1]["digest"]} if facts else None


def read_back(facts: list[Item]) -> list[Item]:
    """As an export is read."""
    found: list[Item] = json.loads(json.dumps(facts))
    return found


content = st.dictionaries(
    st.text(max_size=6),
    st.one_of(
        st.integers(-(10**12), 10**12),
        st.floats(allow_nan=False, allow_infinity=False, width=16),
        st.text(max_size=8),
        st.lists(st.booleans() | st.none(), max_size=3),
    ),
    max_size=3,
)
chains = st.lists(content, min_size=1, max_size=8).map(made)


@few
@given(chains)
def test_an_intact_chain_is_intact_after_a_round_trip(facts):
    assert chain.verify(APPLICATION, facts, head=head(facts)) is None
    assert chain.verify(APPLICATION, read_back(facts), head=head(facts)) is None
    assert chain.verify_part(APPLICATION, facts[1::2]) is None


def test_an_application_without_facts_has_an_intact_chain():
    assert chain.verify(APPLICATION, [], head=None) is None


@few
@given(chains, st.data())
def test_an_altered_fact_is_named(facts, data):
    index = data.draw(st.integers(0, len(facts) - 1))
    field = data.draw(st.sampled_from(sorted(facts[index])))
    value = data.draw(st.text(max_size=4).filter(lambda text: text != facts[index][field]) | st.none())
    altered = [*facts[:index], facts[index] | {field: value}, *facts[index + 1 :]]
    broken = chain.verify(APPLICATION, altered, head=head(facts))
    assert broken is not None
    assert (broken.kind, broken.seq) == (Break.ALTERED, index + 1)
    part = chain.verify_part(APPLICATION, altered[index:])
    assert part is not None and part.kind is Break.ALTERED


@few
@given(chains, st.data())
def test_a_removed_fact_is_named(facts, data):
    index = data.draw(st.integers(0, len(facts) - 1))
    broken = chain.verify(APPLICATION, facts[:index] + facts[index + 1 :], head=head(facts))
    assert broken is not None
    assert (broken.kind, broken.seq) == (Break.MISSING, index + 1)


@few
@given(chains.filter(lambda facts: len(facts) > 1), st.data())
def test_a_changed_order_is_named_where_it_starts(facts, data):
    order = data.draw(st.permutations(range(len(facts))).filter(lambda order: list(order) != sorted(order)))
    broken = chain.verify(APPLICATION, [facts[index] for index in order], head=head(facts))
    assert broken is not None
    first = next(place for place, index in enumerate(order) if place != index)
    assert (broken.kind, broken.seq) == (Break.REORDERED, first + 1)


@few
@given(chains.filter(lambda facts: len(facts) > 1), st.data())
def test_an_altered_fact_with_a_new_digest_breaks_the_next_link(facts, data):
    index = data.draw(st.integers(0, len(facts) - 2))
    forged = link(index + 1, facts[index]["previous"], {"forged": True})
    broken = chain.verify(APPLICATION, [*facts[:index], forged, *facts[index + 1 :]], head=head(facts))
    assert broken is not None
    assert (broken.kind, broken.seq) == (Break.ALTERED, index + 1)


@few
@given(chains, st.data())
def test_a_rewritten_chain_is_intact_but_differs_from_a_copy(facts, data):
    """The head altered too, as somebody with the right to write every item could."""
    index = data.draw(st.integers(0, len(facts) - 1))
    anew = made(
        [
            *(fact["data"] for fact in facts[:index]),
            {"forged": True},
            *(f["data"] for f in facts[index + 1 :]),
        ]
    )
    anchors = [Anchor(seq=fact["seq"], digest=fact["digest"], where="the evidence") for fact in facts]
    assert chain.verify(APPLICATION, anew, head=head(anew)) is None
    broken = chain.verify(APPLICATION, anew, head=head(anew), anchors=reversed(anchors))
    if anew == facts:
        return
    assert broken is not None
    assert (broken.kind, broken.seq) == (Break.REWRITTEN, index + 1)


WHOLE = made([{"n": number} for number in range(4)])


@pytest.mark.parametrize(
    "facts, ends, kind, seq",
    [
        (WHOLE, None, Break.HEAD, 4),
        (WHOLE, {"last": 3, "digest": WHOLE[2]["digest"]}, Break.HEAD, 3),
        (WHOLE, {"last": 4, "digest": "0" * 64}, Break.HEAD, 4),
        (WHOLE, {"last": 9, "digest": "0" * 64}, Break.MISSING, 5),
        ([], {"last": 2, "digest": "0" * 64}, Break.MISSING, 1),
        (WHOLE[2:], head(WHOLE), Break.MISSING, 1),
        ([WHOLE[0], WHOLE[0], *WHOLE[1:]], head(WHOLE), Break.REORDERED, 2),
        ([link(1, "0" * 64, {})], {"last": 1, "digest": ""}, Break.MISSING, 1),
        ([link(1, "", {}, application="shop")], None, Break.ALTERED, 1),
        ([{}], None, Break.ALTERED, 1),
        ([WHOLE[0] | {"data": {"n": float("inf")}}], None, Break.ALTERED, 1),
    ],
)
def test_a_wrong_head_or_beginning_is_named(facts, ends, kind, seq):
    broken = chain.verify(APPLICATION, facts, head=ends)
    assert broken is not None
    assert (broken.kind, broken.seq) == (kind, seq)
    assert broken.what.endswith(".")


def test_evidence_of_a_missing_fact_shows_that_the_end_was_cut_off():
    cut = WHOLE[:3]
    anchor = Anchor(seq=4, digest=WHOLE[3]["digest"], where="the evidence of storefront v1.0.0")
    broken = chain.verify(APPLICATION, cut, head=head(cut), anchors=[anchor])
    assert broken is not None
    assert (broken.kind, broken.seq) == (Break.MISSING, 4)
    assert "the evidence of storefront v1.0.0" in broken.what
    assert chain.verify_part(APPLICATION, cut, anchors=[anchor]) is None


def test_a_part_of_a_chain_shows_a_changed_order_and_a_changed_neighbour():
    broken = chain.verify_part(APPLICATION, [WHOLE[2], WHOLE[0]])
    assert broken is not None and (broken.kind, broken.seq) == (Break.REORDERED, 1)
    forged = link(2, WHOLE[0]["digest"], {"forged": True})
    broken = chain.verify_part(APPLICATION, [forged, WHOLE[2]])
    assert broken is not None and (broken.kind, broken.seq) == (Break.ALTERED, 2)


# ---- in the table --------------------------------------------------------------------------------------------------


def write(ledger: Ledger, count: int) -> None:
    for number in range(count):
        ledger.record(
            Fact(application=APPLICATION, tag="v1.0.0", attempt=1, name="Traffic Shifted", key=str(number))
        )


def in_the_table(ledger: Ledger) -> chain.Broken | None:
    end, facts = chain.read(ledger, APPLICATION)
    return chain.verify(APPLICATION, facts, head=end)


def key_of(number: int) -> dict[str, Any]:
    return {"pk": {"S": "APPLICATION#storefront"}, "sk": {"S": f"FACT#v1.0.0#0001#Traffic Shifted#{number}"}}


@pytest.mark.parametrize(
    "harm, kind",
    [
        (lambda client, key: client.delete_item(TableName="ledger", Key=key), Break.MISSING),
        (
            lambda client, key: client.update_item(
                TableName="ledger",
                Key=key,
                UpdateExpression="SET who = :who",
                ExpressionAttributeValues={":who": {"S": "nobody"}},
            ),
            Break.ALTERED,
        ),
    ],
)
def test_manual_changes_to_the_table_are_named(
    ledger: Ledger, harm: Callable[[Any, Any], Any], kind: Break
) -> None:
    write(ledger, 4)
    assert in_the_table(ledger) is None
    harm(ledger.client, key_of(1))
    broken = in_the_table(ledger)
    assert broken is not None
    assert (broken.kind, broken.seq) == (kind, 2)


def test_concurrent_writes_during_reading_are_no_break(ledger: Ledger) -> None:
    write(ledger, 3)

    class Busy:
        """Somebody writes between reading the head and reading the facts."""

        def __getattr__(self, name: str) -> Any:
            if name == "query":
                ledger.record(Fact(application=APPLICATION, tag="v2.0.0", attempt=1, name="Release Read"))
            return getattr(ledger.client, name)

    from dataclasses import replace

    end, facts = chain.read(replace(ledger, client=Busy()), APPLICATION)
    assert end is not None and end["last"] == len(facts) == 3
    assert chain.verify(APPLICATION, facts, head=end) is None
