"""An attestation is read in the forms in which GitHub gives it; everything else is refused in words, whatever it is."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagship.gates import attestation
from tagship.gates.attestation import Provenance, provenances
from tagship.gates.reading import Unreadable
from tests.unit.builders import CODE, GONE, manifest, sha256
from tests.unit.gates.attested import REPOSITORY, WORKFLOW, bundle, envelope, statement, written

BUILD = "predicate.buildDefinition"
SAID = Provenance(
    subjects=frozenset({sha256(CODE)}),
    builder=WORKFLOW,
    repository=REPOSITORY,
    ref="refs/tags/v1.4.0",
    commits=frozenset({manifest()["commit"]}),
)
SBOM = statement(predicateType="https://spdx.dev/Document/v2.3", predicate={"SPDXID": "x"})


@pytest.mark.parametrize(
    "raw, count",
    [
        (written(bundle(statement())), 1),
        (json.dumps(bundle(statement()), indent=2).encode(), 1),
        (written(envelope(statement())), 1),
        (written(bundle(statement()), bundle(statement())), 2),
        (b"\n" + written(bundle(SBOM), envelope(statement())) + b"\r\n", 1),
    ],
    ids=["bundle", "over several lines", "envelope", "two", "beside a bill of materials"],
)
def test_every_format_of_github_is_read(raw, count):
    assert provenances(raw) == (SAID,) * count


def test_subjects_and_commits_that_are_not_ours_are_ignored():
    provenance = provenances(
        written(
            bundle(
                statement(
                    subject=[{"digest": {"sha256": "x"}}, {"digest": {"sha1": "0" * 40}}, 3, {}],
                    **{
                        f"{BUILD}.resolvedDependencies": [
                            {"uri": f"git+{REPOSITORY}-evil@refs/x", "digest": {"gitCommit": "1" * 40}},
                            {"uri": f"git+{REPOSITORY}@refs/x", "digest": {"gitCommit": 3}},
                            {"digest": {"gitCommit": "1" * 40}},
                            None,
                        ]
                    },
                )
            )
        )
    )
    assert (provenance[0].subjects, provenance[0].commits) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    "raw, why",
    [
        (b"", "it is not JSON"),
        (b"null", "it is not a JSON object"),
        (b"{}", "it lacks the text field payloadType"),
        (b"\xff", "it is not JSON"),
        (b"[" * 200_000, "it is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "it is not JSON"),
        (written(bundle(statement())) + b"and more\n", "it is not JSON"),
        (b'{"payload": "", "payload": ""}', "it has a duplicate name in one object"),
        (written({"dsseEnvelope": []}), "it lacks the text field payloadType"),
        (written(envelope(statement(), payloadType="text/plain")), "its payload is 'text/plain'"),
        (written(envelope(statement(), payloadType="\ud800\n")), "its payload is '⟨U+D800⟩⟨U+000A⟩'"),
        (written(envelope(statement(), signatures=[])), "its envelope is not signed"),
        (written(envelope(statement(), payload="%%%")), "its payload is not Base64"),
        (written(envelope(statement(), payload="é")), "its payload is not Base64"),
        (written(envelope(statement(), payload=None)), "it lacks the text field payload"),
        (written(envelope(b"text")), "it is not JSON"),
        (written(envelope(b'{"_type": 1, "_type": 2}')), "it has a duplicate name in one object"),
        (
            written(envelope(statement(_type="https://in-toto.io/Statement/v0.1"))),
            "its statement is 'https://in-toto.io/Statement/v0.1'",
        ),
        (written(bundle(SBOM)), "it has no statement of type https://slsa.dev/provenance/v1"),
        (written(bundle(statement(predicate=None))), "it lacks the text field buildType"),
        (
            written(bundle(statement(**{f"{BUILD}.buildType": "https://example.com/" + "x" * 500}))),
            "its build is 'https://example.com/xxx",
        ),
        (
            written(bundle(statement(**{f"{BUILD}.externalParameters": []}))),
            "it lacks the text field externalParameters.workflow.repository",
        ),
        (
            written(bundle(statement(**{f"{BUILD}.externalParameters.workflow.ref": GONE}))),
            "it lacks the text field externalParameters.workflow.ref",
        ),
        (
            written(bundle(statement(**{"predicate.runDetails.builder.id": ""}))),
            "it lacks the text field predicate.runDetails.builder.id",
        ),
        (written(*[bundle(statement())] * 101), "it has more than 100 statements"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_an_invalid_attestation_is_refused_with_a_reason(raw, why):
    """Fault 7."""
    with pytest.raises(Unreadable) as refused:
        provenances(raw)
    message = str(refused.value)
    assert message.startswith(why)
    assert all(" " <= char <= "~" or char in "⟨⟩…" for char in message) and len(message) < 300


def test_as_many_statements_as_allowed_are_read():
    assert len(provenances(written(*[bundle(statement())] * 100))) == 100


def test_dependencies_that_are_no_list_name_no_commit():
    (found,) = provenances(written(bundle(statement(**{f"{BUILD}.resolvedDependencies": 5}))))
    assert list(found.commits) == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
PATHS = [
    *("_type", "subject", "subject.0", "subject.0.digest", "subject.0.digest.sha256", "predicateType"),
    *(
        "predicate",
        BUILD,
        f"{BUILD}.buildType",
        f"{BUILD}.externalParameters",
        "predicate.runDetails.builder",
    ),
    *(f"{BUILD}.externalParameters.workflow", f"{BUILD}.resolvedDependencies", "predicate.runDetails"),
    *(f"{BUILD}.resolvedDependencies.0", f"{BUILD}.resolvedDependencies.0.digest"),
]


def read_or_refused(raw):
    with suppress(Unreadable):
        assert provenances(raw)


@given(st.binary(max_size=300))
def test_no_bytes_raise_an_unexpected_error(raw):
    """Fault 7."""
    read_or_refused(raw)


@settings(max_examples=60)
@given(anything, anything)
def test_no_document_and_no_payload_raise_an_unexpected_error(document, payload):
    """Fault 7."""
    read_or_refused(json.dumps(document).encode())
    read_or_refused(json.dumps({"dsseEnvelope": document, "payload": payload}).encode())
    read_or_refused(written(bundle(payload)))
    read_or_refused(written(envelope(statement(), payloadType=payload), envelope(document)))


@given(st.sampled_from(PATHS), anything)
def test_no_value_in_a_statement_raises_an_unexpected_error(path, value):
    """Fault 7."""
    read_or_refused(written(bundle(statement(**{path: value}))))


def test_an_oversized_bundle_is_not_read():
    assert len(written(*[bundle(statement())] * 100)) < attestation.BYTES
