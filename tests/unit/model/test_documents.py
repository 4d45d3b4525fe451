"""A document's problems are reported by field, in words, all at once; a valid document is complete."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tagship.health import kinds
from tagship.model.application import AllAtOnce, Application, Canary, Linear, Step, Steps
from tagship.model.documents import DocumentInvalid, as_document, read_application, read_manifest
from tagship.model.fields import WINDOW_WORDS, ByType
from tagship.model.release import MANIFEST_BYTES, Manifest
from tagship.targets import KINDS
from tests.unit.builders import GONE, application, changed, manifest


def manifest_problems(raw: bytes) -> list[str]:
    with pytest.raises(DocumentInvalid) as caught:
        read_manifest(raw)
    return [str(problem) for problem in caught.value.problems]


def one_of(names: Iterable[str]) -> str:
    """As a union by type says what it takes."""
    quoted = [f"'{name}'" for name in names]
    return f"{'one of ' if len(quoted) > 1 else ''}{', '.join(quoted)}"


def application_problems(document: object) -> list[str]:
    with pytest.raises(DocumentInvalid) as caught:
        read_application(document)
    return [str(problem) for problem in caught.value.problems]


# ---- manifests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tag": "v2.0.0-rc.1+build.5"},
        {"createdAt": "2028-02-29T23:59:59.123456789Z"},
        {"notes": "x" * 40_000},
        {"notes": "\N{SNOWMAN}" * 40_000},
        {"notes": "Zürich ✓\n\n<b>text</b>"},
        {"parameters": {"Memory": "512", " ": "a name of its own"}},
        {"emergency": "nobody can pay"},
        {"author": "dana+releases@mail.example.co.uk"},
        {"artifacts.0.size": 5 * 1024**4},
        {"artifacts.1": {"name": "assets", "file": "assets-1.4.0+a_b.tar.gz", "sha256": "0" * 64, "size": 1}},
        {"ref": "storefront/v1.4.0"},
        {"rollbackUnsafe": "migration 42 drops a column"},
        {"tag": "v2026.1.5", "ref": "storefront-2026.01.05"},
        {"application": "a0"},
        {"application": "a" * 40},
    ],
    ids=lambda value: str(value)[:70],
)
def test_a_good_manifest_is_read_unchanged(changes):
    document = changed(manifest(), changes)
    read = as_document(read_manifest(json.dumps(document).encode()))
    assert (
        read
        == {"notes": "", "parameters": {}, "emergency": "", "ref": "", "rollbackUnsafe": "", "changes": None}
        | document
    )


NO_TAG = "must be v and a semantic version, like v1.4.0 or v2.0.0-rc.1"
NO_KEY = "the alias of a KMS key, alias/tagship-…, or the ARN of one"
NO_FILE = "must be a plain file name: letters, digits, . _ + - and no path"


@pytest.mark.parametrize(
    "changes, problems",
    [
        ({"schemaVersion": 2}, ["schemaVersion: must be 1"]),
        ({"schemaVersion": "1"}, ["schemaVersion: must be 1"]),
        ({"application": GONE}, ["application: is missing"]),
        (
            {"application": "Storefront"},
            ["application: must be a lower-case letter, then letters, digits and -, 2 to 40 in all"],
        ),
        (
            {"application": "storefront\n"},
            [
                "application: must be a lower-case letter, then letters, digits and -, 2 to 40 in all, in plain ASCII"
            ],
        ),
        ({"tag": "1.4.0"}, [f"tag: {NO_TAG}"]),
        ({"tag": "v1.4"}, [f"tag: {NO_TAG}"]),
        ({"tag": "v1.4.0\n"}, [f"tag: {NO_TAG}, in plain ASCII"]),
        ({"tag": "v1.4.\u0660"}, [f"tag: {NO_TAG}"]),
        ({"tag": "v1.4.1\u0660"}, [f"tag: {NO_TAG}, in plain ASCII"]),
        (
            {"tag": "v1.4.0-01"},
            ["tag: 'v1.4.0-01' is not a tag: v and a semantic version, like v1.4.0 or v2.0.0-rc.1"],
        ),
        ({"commit": "0123ABC"}, ["commit: must be 40 lower-case hexadecimal digits"]),
        ({"commit": 17}, ["commit: must be a valid string"]),
        ({"repository": "https://github.com/acme/storefront"}, ["repository: must be owner/name"]),
        ({"author": "Dana"}, ["author: must be a plain mail address: name@example.com"]),
        (
            {"author": "da\u202ena@example.com"},
            ["author: must be a plain mail address: name@example.com, in plain ASCII"],
        ),
        (
            {"author": "da\x00na@example.com"},
            ["author: must be a plain mail address: name@example.com, in plain ASCII"],
        ),
        ({"createdAt": "yesterday"}, ["createdAt: must be a UTC time like 2026-11-22T10:00:00Z"]),
        (
            {"createdAt": "2026-11-22T10:00:00+01:00"},
            ["createdAt: must be a UTC time like 2026-11-22T10:00:00Z"],
        ),
        ({"createdAt": "2026-02-30T10:00:00Z"}, ["createdAt: has a day or a time that does not exist"]),
        ({"createdAt": "2026-11-22T10:61:00Z"}, ["createdAt: has a day or a time that does not exist"]),
        ({"ref": "storefront/v1.5.0"}, ["ref: names version v1.5.0, but tag is v1.4.0"]),
        ({"rollbackUnsafe": " "}, ["rollbackUnsafe: must say why the previous version cannot serve again"]),
        ({"ref": "a b"}, ["ref: must be a git tag, like storefront/v1.4.0"]),
        ({"ref": "v1.4.0..x"}, ["ref: must be a git tag, like storefront/v1.4.0"]),
        ({"notes": "x" * 40_001}, ["notes: should have at most 40000 characters"]),
        ({"notes": None}, ["notes: must be a valid string"]),
        ({"emergency": " \n"}, ["emergency: must say why this cannot wait"]),
        ({"emergency": "x" * 501}, ["emergency: should have at most 500 characters"]),
        ({"parameters": {"Memory": 512}}, ["parameters.Memory: must be a valid string"]),
        (
            {"parameters": {"": "the ledger cannot store it"}},
            ["parameters: must have names of 1 to 255 characters"],
        ),
        ({"parameters": {"x" * 256: ""}}, ["parameters: must have names of 1 to 255 characters"]),
        ({"parameters": {str(number): "" for number in range(101)}}, ["parameters: must have at most 100"]),
        ({"artifacts": []}, ["artifacts: must have at least 1"]),
        ({"artifacts": {}}, ["artifacts: must be a valid array"]),
        ({"artifacts.0": "storefront.zip"}, ["artifacts[0]: must be an object"]),
        ({"artifacts.0.sha256": "ab"}, ["artifacts[0].sha256: must be 64 lower-case hexadecimal digits"]),
        ({"artifacts.0.size": 0}, ["artifacts[0].size: must be greater than or equal to 1"]),
        ({"artifacts.0.size": True}, ["artifacts[0].size: must be a valid integer"]),
        ({"artifacts.0.size": 12.5}, ["artifacts[0].size: must be a valid integer"]),
        ({"artifacts.0.name": ""}, ["artifacts[0].name: should have at least 1 character"]),
        ({"artifacts.0.file": "storefront.zip\n"}, [f"artifacts[0].file: {NO_FILE}, in plain ASCII"]),
        ({"a\nb\u202e": 1}, ["a b⟨U+202E⟩: is not a field here"]),
        ({"sha": "ab"}, ["sha: is not a field here; did you mean 'sha256'?"]),
        (
            {"comit": "ab", "commit": GONE},
            ["commit: is missing", "comit: is not a field here; did you mean 'commit'?"],
        ),
        ({"artifacts.0.url": "https://example.com"}, ["artifacts[0].url: is not a field here"]),
        (
            {"artifacts.1": {"name": "function", "file": "storefront.zip", "sha256": "0" * 64, "size": 1}},
            [
                "artifacts[1].name: contains 'function' twice",
                "artifacts[1].file: contains 'storefront.zip' twice",
            ],
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_a_bad_manifest_is_refused_with_field_and_reason(changes, problems):
    """Faults 7 and 10."""
    assert manifest_problems(json.dumps(changed(manifest(), changes)).encode()) == problems


@pytest.mark.parametrize(
    "file",
    [
        *(
            "../storefront.zip",
            "..",
            "a..b",
            "/storefront.zip",
            "//x",
            "releases/basket/v1.0.0/storefront.zip",
        ),
        *("other/storefront.zip", "..\\storefront.zip", "C:storefront.zip", "%2e%2e%2fstorefront.zip", "~/x"),
        *(
            "store\x1bfront.zip",
            "store\x00front.zip",
            "store\nfront.zip",
            "store\u202efront.zip",
            "st\u00f6re.zip",
        ),
        *("", " ", ".hidden", "-rf", "a" * 201, "release.json", "release.json.sig", "release.json.bak"),
        *("promotion.json", "promotion.json.sig"),
    ],
    ids=ascii,
)
def test_a_file_name_cannot_be_a_path(file):
    """Fault 10; nor is it the name of a file that Tagship itself puts next to a manifest."""
    (problem,) = manifest_problems(json.dumps(changed(manifest(), {"artifacts.0.file": file})).encode())
    assert problem.startswith(f"artifacts[0].file: {NO_FILE}")


def test_all_problems_are_reported_at_once():
    document = changed(
        manifest(), {"tag": "4", "author": "Dana", "artifacts.0.size": 0, "extra": 1, "commit": GONE}
    )
    assert {problem.split(":")[0] for problem in manifest_problems(json.dumps(document).encode())} == {
        "tag",
        "author",
        "artifacts[0].size",
        "extra",
        "commit",
    }


@pytest.mark.parametrize(
    "raw, problem",
    [
        (b"", "is not JSON: Expecting value in line 1, column 1"),
        (b"release", "is not JSON: Expecting value in line 1, column 1"),
        (b'{"tag": }', "is not JSON: Expecting value in line 1, column 9"),
        (b"\xff\xfe{}", "is not UTF-8 (byte 0)"),
        (b"\xef\xbb\xbf{}", "is not JSON: Unexpected UTF-8 BOM (decode using utf-8-sig) in line 1, column 1"),
        (b"[]", "must be an object with fields"),
        (b'"release"', "must be an object with fields"),
        (b"null", "must be an object with fields"),
        (b'{"tag": "v1.0.0", "tag": "v2.0.0"}', "has the field 'tag' twice"),
        (b'{"artifacts": [{"size": 1, "size": 2}]}', "has the field 'size' twice"),
        (b'{"size": NaN}', "is not JSON: NaN is not a number"),
        (b'{"size": -Infinity}', "is not JSON: -Infinity is not a number"),
        (b" " * (MANIFEST_BYTES + 1), "is larger than 256 KiB"),
        (b"[" * MANIFEST_BYTES, "is nested deeper than 20 levels"),
        (b'{"a":' * 21 + b"1" + b"}" * 21, "is nested deeper than 20 levels"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "is nested deeper than 20 levels"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_bytes_that_are_not_a_document_are_refused_as_a_whole(raw, problem):
    """Fault 7."""
    assert manifest_problems(raw) == [problem]


@pytest.mark.parametrize(
    "raw, beginning",
    [
        (b'{"size": ' + b"9" * 5000 + b"}", "has a number of more than 4,300 digits"),
        (b'{"notes": "\\ud800"}', "has a value that JSON does not support: 'utf-8' codec can't encode"),
        (b'{"\\udfff": 1}', "has a value that JSON does not support: 'utf-8' codec can't encode"),
        (b'{"size": 1e999}', "has a value that JSON does not support: Out of range float"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_values_that_cannot_be_stored_are_refused_in_a_sentence(raw, beginning):
    (problem,) = manifest_problems(raw)
    assert problem.startswith(beginning)


def _many_fields(also: dict[str, Any]) -> bytes:
    return json.dumps({**also, **{f"n{number:x}": 1 for number in range(20_000)}}).encode()


def test_a_field_twice_among_thousands_is_found_within_a_step() -> None:
    """Fault 7. A comparison of every field with every other took the whole step."""
    raw = _many_fields({})[:-1] + b', "n4e1f": 1}'
    begun = time.process_time()
    assert manifest_problems(raw) == ["has the field 'n4e1f' twice"]
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    "raw",
    [
        _many_fields(manifest()),
        json.dumps(manifest(artifacts=[{f"x{n}": 1 for n in range(400)} for _ in range(50)])).encode(),
    ],
    ids=["in it", "in its artifacts"],
)
def test_thousands_of_unknown_fields_are_judged_within_a_step(raw: bytes) -> None:
    """Fault 7. For each of them the nearest known field is looked up, so only the first ones are put into words."""
    found = manifest_problems(raw)
    assert "is not a field here" in "".join(found)
    assert len(found) <= 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
GOOD = json.dumps(manifest()).encode()


def only_a_sentence(raw: bytes) -> None:
    try:
        read_manifest(raw)
        problems = []
    except DocumentInvalid as error:
        problems = [str(problem) for problem in error.problems]
    assert not any("\n" in problem for problem in problems)


@given(st.binary(max_size=200))
def test_all_bytes_raise_at_most_document_invalid(raw):
    only_a_sentence(raw)


@given(st.integers(0, len(GOOD)), st.integers(0, 30), st.binary(max_size=10))
def test_no_damage_to_a_good_manifest_raises_another_error(start, cut, put):
    only_a_sentence(GOOD[:start] + put + GOOD[start + cut :])


@given(
    st.dictionaries(st.sampled_from([*manifest(), "notes", "parameters", "other"]), json_values, max_size=4)
)
@example({"artifacts": [{"size": 10**400}]})
@example({"parameters": {"a": {"b": ["\ud800"]}}})
def test_no_field_value_raises_another_error(changes):
    only_a_sentence(json.dumps(manifest(**changes)).encode())


@given(json_values)
@example({"artifacts": [{"name": []}]})
def test_no_json_raises_another_error(document):
    only_a_sentence(json.dumps(document).encode())


# ---- applications --------------------------------------------------------------------------------------------------

WRITTEN_OUT = {
    "application": "storefront",
    "target": application()["target"] | {"alias": "live", "others": []},
    "approval": {
        "approvers": ["ana@example.com", "bo@example.com", "chi@example.com"],
        "required": 1,
        "authorMayApprove": False,
        "expires": 14_400,
        "remindEvery": 3_600,
        "rules": [],
        "countInEveryRule": False,
        "extraForWarnings": 0,
        "reasonToApprove": False,
        "escalateTo": [],
    },
    "health": {
        "checks": [
            {
                "type": "lambda",
                "function": None,
                "payload": {},
                "maxLatencyMs": None,
                "requests": 1,
                "mustPass": 1,
            }
        ],
        "every": 30,
        "watch": {"seconds": 0, "alarms": []},
    },
    "strategy": {"type": "canary", "percent": 10, "bake": 300},
    "gates": {
        "tags": {"pattern": "v*", "preReleases": False},
        "signature": None,
        "provenance": None,
        "promotion": None,
        "custom": None,
        "windows": [],
        "whenClosed": "fail",
    },
    "notifications": {"level": "milestones", "emails": [], "slackWebhookSecret": None, "github": None},
    "retention": None,
    "promote": None,
    "stage": None,
}


def test_defaults_are_filled_in():
    assert as_document(read_application(application())) == WRITTEN_OUT


@pytest.mark.parametrize(
    "strategy, read",
    [
        ({"type": "all-at-once"}, AllAtOnce(type="all-at-once", bake=0)),
        ({"type": "canary", "percent": 99, "bake": "PT1M30S"}, Canary(type="canary", percent=99, bake=90)),
        ({"type": "linear"}, Linear(type="linear", percent=20, bake=60)),
        ({"type": "linear", "percent": 1, "bake": 0}, Linear(type="linear", percent=1, bake=0)),
        (
            {"type": "steps", "steps": [{"percent": 3, "bake": "PT20M"}, {"percent": 100}]},
            Steps(type="steps", steps=(Step(percent=3, bake=1200), Step(percent=100, bake=0))),
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_a_strategy_is_read_as_its_own_type(strategy, read):
    assert read_application(application(strategy=strategy)).strategy == read


@pytest.mark.parametrize(
    "written, seconds",
    [("PT1H30M", 5400), ("P1DT1S", 86_401), ("P1W", 604_800), ("PT4H", 14_400), (60, 60)],
)
def test_a_time_can_be_a_duration(written, seconds):
    document = changed(application(), {"approval.expires": written})
    assert read_application(document).approval.expires == seconds


NO_DURATION = "must be whole seconds or an ISO-8601 duration like PT1H30M"
HTTP = {"type": "http", "url": "https://storefront.example.com/health"}
NO_URL = "must be an http or https address, without user name and password"
METRIC = {"type": "metric", "name": "errors", "namespace": "AWS/Lambda", "metric": "Errors", "maxValue": 0.5}
SAME_KEY = (
    "is also gates.signature.key: anyone who signs releases could then also claim that they succeeded in the "
    "previous stage"
)
CHOOSE = (
    "is missing: choose how Tagship checks that a version works. For any function: {type: metric, …}, which "
    "reads its errors and never invokes it. For a web address: {type: http, url: …}. For a function that "
    "answers Tagship's health check event: {type: lambda}. docs/health.md explains each one"
)
KEPT = "has a field without a name, or a number that does not fit into 38 digits"


@pytest.mark.parametrize(
    "changes, problems",
    [
        (
            {"application": "s"},
            ["application: must be a lower-case letter, then letters, digits and -, 2 to 40 in all"],
        ),
        ({"target": GONE}, ["target: is missing"]),
        ({"target.type": "toaster"}, [f"target.type: must be {one_of(KINDS)}"]),
        ({"target.account": 0}, ["target.account: must be a valid string"]),
        ({"target.account": "12"}, ["target.account: must be an account ID: 12 digits, in quotes"]),
        (
            {"target.account": "\u0661" * 12},
            ["target.account: must be an account ID: 12 digits, in quotes, in plain ASCII"],
        ),
        (
            {"target.function": "a b"},
            ["target.function: must be a function's name: letters, digits, - and _, at most 64"],
        ),
        ({"target.alias": "42"}, ["target.alias: must be an alias's name: letters, digits, - and _"]),
        ({"target.region": "Frankfurt"}, ["target.region: must be a region, like eu-central-1"]),
        (
            {"target.role": "admin"},
            ["target.role: must be a role's ARN: arn:aws:iam::123456789012:role/name"],
        ),
        (
            {"target.role": "arn:aws:iam::999999999999:role/tagship-app-storefront"},
            ["target.role: is in account 999999999999, but target.account is 000000000000"],
        ),
        (
            {"gates": {"custom": {"function": "a b"}}},
            ["gates.custom.function: must be a function's name: letters, digits, - and _, at most 64"],
        ),
        ({"target.lambda": 1}, ["target.lambda: is not a field here"]),
        ({"target.externalID": "x"}, ["target.externalID: is not a field here; did you mean 'externalId'?"]),
        (
            {"approval.approvers": []},
            ["approval.approvers: is missing: name approvers, or rules"],
        ),
        (
            {"approval.approvers.1": "bo"},
            ["approval.approvers[1]: must be a plain mail address: name@example.com"],
        ),
        (
            {"approval.approvers.1": "Ana@example.com"},
            [
                (
                    "approval.approvers: contains ana@example.com and Ana@example.com, who count as one person "
                    "with one vote"
                )
            ],
        ),
        ({"approval.required": 4}, ["approval.required: requires 4 approvals, but there are 3 approvers"]),
        (
            {"approval.required": 4, "approval.approvers.1": "bo"},
            [
                "approval.approvers[1]: must be a plain mail address: name@example.com",
                "approval.required: requires 4 approvals, but there are 3 approvers",
            ],
        ),
        ({"stage": "prod"}, ["stage: must be 'development', 'staging' or 'production'"]),
        ({"gates": {"whenClosed": "later"}}, ["gates.whenClosed: must be 'fail' or 'wait'"]),
        (
            {"gates": {"windows": ["Mon 09:00-16:00 UTC", "daily 09:00-16:00 UTC"]}},
            [f"gates.windows[1]: must be {WINDOW_WORDS}"],
        ),
        (
            {"gates": {"windows": ["Mon 09:00-16:00 Europe/Berlim"]}},
            ["gates.windows[0]: Europe/Berlim is not a time zone; did you mean Europe/Berlin?"],
        ),
        ({"gates": {"window": []}}, ["gates.window: is not a field here; did you mean 'windows'?"]),
        (
            {"health.checks.0": {"type": "lambda", "request": 1}},
            ["health.checks[0].request: is not a field here; did you mean 'requests'?"],
        ),
        (
            {"strategy": {"type": "canary", "bakes": 1}},
            ["strategy.bakes: is not a field here; did you mean 'bake'?"],
        ),
        ({"approval.required": 0}, ["approval.required: must be greater than or equal to 1"]),
        ({"approval.required": "2"}, ["approval.required: must be a valid integer"]),
        ({"approval.authorMayApprove": "yes"}, ["approval.authorMayApprove: must be true or false"]),
        ({"approval.expires": "P1Y"}, [f"approval.expires: {NO_DURATION}"]),
        ({"approval.expires": "P"}, [f"approval.expires: {NO_DURATION}"]),
        ({"approval.expires": "PT\u0661M"}, [f"approval.expires: {NO_DURATION}"]),
        ({"approval.expires": "PT1.5S"}, [f"approval.expires: {NO_DURATION}"]),
        ({"approval.expires": "P8D"}, ["approval.expires: must be less than or equal to 604800"]),
        ({"approval.remindEvery": 0}, ["approval.remindEvery: must be greater than or equal to 1"]),
        ({"health.checks.0": {}}, ["health.checks[0]: needs a type"]),
        ({"health.checks.0": 3}, ["health.checks[0]: must be an object"]),
        (
            {"health.checks.0.type": "ping"},
            [f"health.checks[0].type: must be {one_of(kinds())}"],
        ),
        ({"health.checks.1": {"type": "http"}}, ["health.checks[1].url: is missing"]),
        ({"health.checks.1": HTTP | {"url": "ftp://example.com"}}, [f"health.checks[1].url: {NO_URL}"]),
        (
            {"health.checks.1": HTTP | {"url": "https://ana:secret@example.com"}},
            [f"health.checks[1].url: {NO_URL}"],
        ),
        (
            {"gates": {"signature": {"key": "alias/other"}}},
            [f"gates.signature.key: must be {NO_KEY}"],
        ),
        (
            {"gates": {"signature": {"key": "arn:aws:kms:eu-central-1:123456789012:key/0-1-2"}}},
            [f"gates.signature.key: must be {NO_KEY}"],
        ),
        (
            {"gates": {"signature": {"key": "alias/tagship-a", "algorithm": "RSASSA_PKCS1_V1_5_SHA_256"}}},
            ["gates.signature.algorithm: must be 'ECDSA_SHA_256' or 'RSASSA_PSS_SHA_256'"],
        ),
        ({"gates": {"signature": {"required": True}}}, ["gates.signature.key: is missing"]),
        (
            {"gates": {"provenance": {"repository": "https://github.com/acme/storefront"}}},
            ["gates.provenance.repository: must be owner/name"],
        ),
        (
            {"gates": {"provenance": {"repository": "acme/storefront", "builder": "http://example.com"}}},
            ["gates.provenance.builder: must be a builder's address"],
        ),
        (
            {"gates": {"promotion": {"stage": "production", "key": "alias/tagship-a"}}},
            ["gates.promotion.stage: must be 'development' or 'staging'"],
        ),
        (
            {"health.checks.1": HTTP | {"status": 42}},
            ["health.checks[1].status: must be greater than or equal to 100"],
        ),
        ({"health.checks.1": HTTP | {"http": 1}}, ["health.checks[1].http: is not a field here"]),
        (
            {"health.checks.1": HTTP | {"timeoutSeconds": "PT1M"}},
            ["health.checks[1].timeoutSeconds: must be less than or equal to 10"],
        ),
        (
            {"health.checks.1": HTTP | {"mustPass": 6}},
            ["health.checks[1].mustPass: requires 6 healthy answers from 5 requests"],
        ),
        (
            {"health.checks.0.mustPass": 2},
            ["health.checks[0].mustPass: requires 2 healthy answers from 1 requests"],
        ),
        ({"health.checks.0.payload": {"n": 10**38 + 1}}, [f"health.checks[0].payload: {KEPT}"]),
        ({"health.checks.0.payload": {"n": [{"m": 1e300}]}}, [f"health.checks[0].payload: {KEPT}"]),
        ({"health.checks.0.payload": {"n": [{"": 1}]}}, [f"health.checks[0].payload: {KEPT}"]),
        (
            {"health.checks.1": HTTP | {"urls": ["https://b.example.com"]}},
            ["health.checks[1].urls: cannot be used together with url: set only one of them"],
        ),
        (
            {"health.checks.1": {"type": "http", "urls": ["https://b.example.com"] * 2}},
            ["health.checks[1].urls: contains an address twice"],
        ),
        (
            {"health.checks.1": {"type": "http", "urls": ["https://b.example.com", "b"]}},
            [f"health.checks[1].urls[1]: {NO_URL}"],
        ),
        (
            {"health.checks.1": {"type": "http", "url": "http://b.example.com", "tlsDaysLeft": 14}},
            ["health.checks[1].tlsDaysLeft: needs a certificate, but http://b.example.com has none"],
        ),
        (
            {"health.checks.1": HTTP | {"json": {"path": "a[", "equals": 1}}},
            ["health.checks[1].json.path: is not a JMESPath expression"],
        ),
        (
            {"health.checks.1": HTTP | {"json": {"path": "a", "equals": [1]}}},
            ["health.checks[1].json.equals: must be text, a number, or true or false"],
        ),
        (
            {"health.checks.1": HTTP | {"json": {"path": "a", "equals": 10**38 + 1}}},
            ["health.checks[1].json.equals: has a number that does not fit into 38 digits"],
        ),
        (
            {"health.checks.1": {"type": "alarm", "names": []}},
            ["health.checks[1].names: must have at least 1"],
        ),
        (
            {
                "gates": {
                    "signature": {"key": "alias/tagship-one"},
                    "promotion": {"stage": "staging", "key": "alias/tagship-one"},
                }
            },
            [f"gates.promotion.key: {SAME_KEY}"],
        ),
        (
            {
                "gates": {
                    "signature": {"key": "alias/tagship-one"},
                    "promotion": {
                        "stage": "staging",
                        "key": "arn:aws:kms:us-east-1:111122223333:alias/tagship-one",
                    },
                }
            },
            [f"gates.promotion.key: {SAME_KEY}"],
        ),
        (
            {
                "approval.required": 5,
                "target.region": "nowhere",
                "strategy": {"type": "canary", "bake": "soon"},
            },
            [
                "target.region: must be a region, like eu-central-1",
                f"strategy.bake: {NO_DURATION}",
                "approval.required: requires 5 approvals, but there are 3 approvers",
            ],
        ),
        (
            {"health.every": 0, "health.checks.0": {**HTTP, "mustPass": 9}},
            [
                "health.every: must be greater than or equal to 1",
                "health.checks[0].mustPass: requires 9 healthy answers from 5 requests",
            ],
        ),
        ({"health": GONE}, [f"health: {CHOOSE}"]),
        ({"health.checks": GONE}, [f"health.checks: {CHOOSE}"]),
        ({"health.checks": []}, [f"health.checks: {CHOOSE}"]),
        (
            {"health.checks.1": {"type": "metric", "name": "errors", "metric": "Errors", "maxValue": 1}},
            ["health.checks[1].namespace: is missing (set it or an expression)"],
        ),
        (
            {"health.checks.1": METRIC | {"expression": "a"}},
            ["health.checks[1].expression: cannot be used together with a metric: set only one of them"],
        ),
        (
            {"health.checks.1": METRIC | {"maxValue": None}},
            [
                (
                    "health.checks[1].maxIncreasePercent: is missing: set it, maxValue, or both. Without a limit "
                    "nothing is checked"
                )
            ],
        ),
        (
            {"health.checks.1": METRIC | {"statistic": "Sum"}},
            ["health.checks[1].statistic: must be Average, Maximum, Minimum, or a percentile like p95"],
        ),
        (
            {"health.checks.1": METRIC | {"dimensions": {"": "x"}}},
            ["health.checks[1].dimensions: must be at most 30, with names and values of 1 to 255 characters"],
        ),
        ({"health.checks.1": {"type": "custom"}}, ["health.checks[1].function: is missing"]),
        ({"health.watch": {"seconds": 60}}, ["health.watch.alarms: is empty, so nothing would be monitored"]),
        ({"health.every": 0}, ["health.every: must be greater than or equal to 1"]),
        ({"strategy": {}}, ["strategy: needs a type"]),
        ({"strategy": "canary"}, ["strategy: must be an object"]),
        ({"strategy": None}, ["strategy: must be an object"]),
        (
            {"strategy": {"type": "canari"}},
            ["strategy.type: must be one of 'all-at-once', 'canary', 'linear', 'steps'"],
        ),
        (
            {"strategy": {"type": "canary", "percent": 100}},
            ["strategy.percent: must be less than or equal to 99"],
        ),
        ({"strategy": {"type": "canary", "percent": 12.5}}, ["strategy.percent: must be a valid integer"]),
        ({"strategy": {"type": "canary", "canary": 1}}, ["strategy.canary: is not a field here"]),
        (
            {"strategy": {"type": "canary", "steps": []}},
            ["strategy.steps: is a field, but not here"],
        ),
        (
            {"strategy": {"type": "linear", "bake": "PT21M"}},
            ["strategy.bake: must be less than or equal to 1200"],
        ),
        (
            {"strategy": {"type": "all-at-once", "percent": 1}},
            ["strategy.percent: is a field, but not here"],
        ),
        ({"strategy": {"type": "steps"}}, ["strategy.steps: is missing"]),
        ({"strategy": {"type": "steps", "steps": []}}, ["strategy.steps: must have at least 1"]),
        (
            {"strategy": {"type": "steps", "steps": [{"percent": 0}]}},
            ["strategy.steps[0].percent: must be greater than or equal to 1"],
        ),
        (
            {"strategy": {"type": "steps", "steps": [{"percent": 1}, {}]}},
            ["strategy.steps[1].percent: is missing"],
        ),
        (
            {"strategy": {"type": "steps", "steps": [{"percent": 50}]}},
            ["strategy.steps: must increase and end at 100, not [50]"],
        ),
        (
            {"strategy": {"type": "steps", "steps": [{"percent": 50}, {"percent": 50}, {"percent": 100}]}},
            ["strategy.steps: must increase and end at 100, not [50, 50, 100]"],
        ),
        (
            {"strategy": {"type": "steps", "steps": [{"percent": 50}, {"percent": 20}, {"percent": 100}]}},
            ["strategy.steps: must increase and end at 100, not [50, 20, 100]"],
        ),
        ({"zzz": {}}, ["zzz: is not a field here"]),
        (
            {"notifications": {"github": {"repository": "acme/storefront"}}},
            ["notifications.github: needs tokenSecret, protectionRule, or both"],
        ),
        (
            {"notifications": {"github": {"repository": "acme/storefront", "protectionRule": {}}}},
            ["notifications.github.protectionRule.environment: is missing"],
        ),
        (
            {"notifications": {"slackWebhookSecret": "https://hooks.slack.com/services/T/B/x"}},
            [
                (
                    "notifications.slackWebhookSecret: must be the application's secret for Slack, whose name begins with "
                    "tagship/<stage>/<application>/slack"
                )
            ],
        ),
        (
            {"approval.remindEvery": 71},
            ["approval.remindEvery: would remind more than 200 times in 14400 s; use at least 72 s"],
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_a_bad_configuration_is_refused_with_the_field_as_written(changes, problems):
    assert application_problems(changed(application(), changes)) == problems


def unions() -> set[str]:
    """The fields whose value is one of several kinds."""
    found, waiting = set(), [Application]
    while waiting:
        kind = waiting.pop()
        if is_dataclass(kind):
            hints = get_type_hints(kind, include_extras=True)
            found |= {field.name for field in fields(kind) if "ByType" in repr(hints[field.name])}
            waiting += hints.values()
        waiting += [argument for argument in get_args(kind) if not isinstance(argument, ByType)]
    return found


def test_these_tables_cover_every_field_with_several_types():
    """A new one needs its line in `documents`, and its rows above: pydantic puts the kind into the path."""
    assert unions() == {"checks", "strategy", "target"}


@pytest.mark.parametrize("document", [None, [], "storefront", 3])
def test_a_configuration_that_is_not_an_object_is_refused(document):
    assert application_problems(document) == ["must be an object with fields"]


def nested(levels: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(levels):
        document = {"a": document}
    return document


@pytest.mark.parametrize("levels", [17, 300, 100_000])
def test_a_deeply_nested_configuration_is_refused(levels):
    deep = changed(application(), {"health.checks.0.payload": {}})
    deep["health"]["checks"][0]["payload"] = nested(levels)
    assert application_problems(deep) == ["is nested deeper than 20 levels"]


def test_yaml_values_that_json_lacks_are_refused():
    circle: dict[str, Any] = application()
    circle["health"]["checks"][0]["payload"] = circle
    assert application_problems(circle) == [
        "has a value that JSON does not support: Circular reference detected"
    ]
    (problem,) = application_problems(application(strategy={"type": "canary", "bake": float("nan")}))
    assert problem.startswith("has a value that JSON does not support")


# ---- from the document to the ledger and back ----------------------------------------------------------------------

bakes = st.integers(0, 1200)
strategies = st.one_of(
    st.builds(lambda bake: {"type": "all-at-once", "bake": bake}, bakes),
    st.builds(
        lambda kind, percent, bake: {"type": kind, "percent": percent, "bake": bake},
        st.sampled_from(["canary", "linear"]),
        st.integers(1, 99),
        bakes,
    ),
    st.builds(
        lambda shares: {"type": "steps", "steps": [{"percent": share} for share in sorted({*shares, 100})]},
        st.lists(st.integers(1, 100), max_size=10),
    ),
)
numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False, width=32)
payloads = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    numbers | st.booleans() | st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    max_size=4,
)
checks = st.lists(
    st.builds(lambda payload: {"type": "lambda", "payload": payload}, payloads)
    | st.builds(lambda n: {**HTTP, "requests": n, "mustPass": n, "contains": None}, st.integers(1, 20))
    | st.builds(
        lambda value: {**HTTP, "json": {"path": "a.b", "equals": value}},
        numbers | st.booleans() | st.text("ab"),
    )
    | st.builds(lambda value: {**METRIC, "maxValue": value}, st.floats(-1e9, 1e9, width=32))
    | st.just({"type": "custom", "function": "verdict"}),
    min_size=1,
    max_size=3,
)


@given(strategies, checks.filter(lambda them: any(it["type"] != "metric" for it in them)), st.integers(1, 3))
def test_an_application_from_the_ledger_equals_the_one_that_was_read(strategy, checks, required):
    document = changed(
        application(strategy=strategy, health={"checks": checks}), {"approval.required": required}
    )
    read = read_application(document)
    written = as_document(read)
    assert Application.from_dict(written) == read
    assert Application.from_dict(json.loads(json.dumps(written))) == read
    assert read_application(written) == read


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers(1, 50))
def test_a_manifest_from_the_ledger_equals_the_one_that_was_read(notes, count):
    artifacts = [
        {"name": f"part {n}", "file": f"part-{n}.zip", "sha256": f"{n:064x}", "size": n + 1}
        for n in range(count)
    ]
    read = read_manifest(json.dumps(manifest(notes=notes, artifacts=artifacts)).encode())
    assert Manifest.from_dict(as_document(read)) == read
    assert read.artifact("part 0") == read.artifacts[0]
    assert read.artifact("no part") is None
