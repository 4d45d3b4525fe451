"""tagship audit: a whole history is whole, online and offline; whatever was done to it is named, and ends with 1."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tagship.ledger import evidence
from tagship.ledger.table import digest_of
from tagship.notices import evidence as bucket
from tagship_cli.actions import auditing
from tagship_cli.failures import Failed

TABLE = "ledger"


def preserved(stage: Any, tag: str = "v1.4.0") -> dict[str, Any]:
    """The function's effect when it receives the ending's fact."""
    ended = stage.ledger.facts_of("storefront", tag)[-1]
    made = evidence.bundle(stage.ledger, "storefront", tag, ended=ended["seq"])
    bucket.keep(made, key=evidence.key_of(made), s3=stage.client("s3"), bucket="evidence")
    return made


def in_the_table(stage: Any, fact: dict[str, Any], **changes: str) -> None:
    """Somebody with the right to write every item."""
    stage.client("dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": fact["pk"]}, "sk": {"S": fact["sk"]}},
        UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in changes),
        ExpressionAttributeNames={f"#{name}": name for name in changes},
        ExpressionAttributeValues={f":{name}": {"S": value} for name, value in changes.items()},
    )


def verify(stage: Any, *arguments: str, code: int) -> dict[str, Any]:
    result = stage.run("audit", "verify", *arguments, "--json")
    assert result.exit_code == code, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_a_history_is_verified_and_compared_with_its_evidence(stage: Any) -> None:
    stage.release().succeeded()
    preserved(stage)
    document = verify(stage, "storefront", code=0)
    assert (document["whole"], document["evidence"], document["withoutEvidence"], document["broken"]) == (
        True,
        1,
        [],
        None,
    )
    assert stage.run("audit", "verify", "storefront").stdout == (
        f"whole: storefront, the ledger of development, {document['facts']} facts, compared with 1 piece of evidence\n"
    )


def test_an_ending_without_evidence_is_reported(stage: Any) -> None:
    stage.release().succeeded()
    shown = stage.run("audit", "verify", "storefront")
    assert shown.exit_code == 0
    assert "There is no evidence yet of v1.4.0 (Release Succeeded, fact " in shown.stdout


def test_an_ending_older_than_an_hour_without_evidence_is_a_failure(stage: Any) -> None:
    """Whatever took the evidence away, or kept it from being written: the chain has nothing to be held against."""
    stage.release().succeeded()
    stage.clock.pause(3700)
    document = verify(stage, "storefront", code=1)
    assert (document["whole"], document["broken"]["kind"]) == (False, "no evidence")
    assert "v1.4.0 (Release Succeeded, fact " in document["broken"]["what"]
    preserved(stage)
    verify(stage, "storefront", code=0)


def test_evidence_hidden_by_a_delete_marker_is_an_attack_and_is_still_compared(stage: Any) -> None:
    """A plain DELETE needs no permission to lift the lock: it hides the evidence, and the version stays."""
    stage.client("s3").put_bucket_versioning(Bucket="evidence", VersioningConfiguration={"Status": "Enabled"})
    stage.release().succeeded()
    key = evidence.key_of(preserved(stage))
    stage.client("s3").delete_object(Bucket="evidence", Key=key)
    document = verify(stage, "storefront", code=1)
    assert (document["whole"], document["broken"]["kind"], document["hidden"]) == (False, "hidden", [key])
    assert (document["evidence"], document["withoutEvidence"]) == (1, [])
    assert "This is an attack" in document["broken"]["what"]
    write_anew(stage)
    document = verify(stage, "storefront", code=1)
    assert (document["broken"]["kind"], document["hidden"]) == ("rewritten", [key])
    assert f"Hidden in the evidence bucket: {key}." in stage.run(
        "audit", "verify", "storefront"
    ).stdout.replace("\n  ", " ")


def test_a_second_version_of_an_evidence_file_is_an_attack(stage: Any) -> None:
    stage.client("s3").put_bucket_versioning(Bucket="evidence", VersioningConfiguration={"Status": "Enabled"})
    stage.release().succeeded()
    key = evidence.key_of(preserved(stage))
    stage.client("s3").put_object(Bucket="evidence", Key=key, Body=b"{}")
    document = verify(stage, "storefront", code=1)
    assert (document["broken"]["kind"], document["hidden"], document["evidence"]) == ("hidden", [key], 1)


def test_a_fact_changed_in_the_table_is_named(stage: Any) -> None:
    stage.release().succeeded()
    fact = next(f for f in stage.ledger.facts_of("storefront", "v1.4.0") if f["name"] == "Approval Granted")
    in_the_table(stage, fact, who="mallory@example.com")
    document = verify(stage, "storefront", code=1)
    assert (document["broken"]["kind"], document["broken"]["seq"]) == ("altered", fact["seq"])
    shown = stage.run("audit", "verify", "storefront").stdout
    assert shown.startswith("BROKEN: storefront")
    assert "(Approval Granted of v1.4.0) was altered" in shown


def test_a_rewritten_history_differs_from_its_evidence(stage: Any) -> None:
    """Every later digest and the head are recomputed, so the chain alone can't show the change."""
    stage.release().succeeded()
    preserved(stage)
    write_anew(stage)
    document = verify(stage, "storefront", code=1)
    assert document["broken"]["kind"] == "rewritten"
    assert "the evidence of storefront v1.4.0" in document["broken"]["what"]


def write_anew(stage: Any) -> None:
    facts = stage.ledger.facts_of("storefront", "v1.4.0")
    previous = ""
    for fact in facts:
        content = {name: value for name, value in fact.items() if name != "digest"} | {"previous": previous}
        content["who"] = "mallory@example.com" if fact["name"] == "Approval Granted" else fact["who"]
        previous = digest_of(content)
        in_the_table(stage, fact, who=content["who"], previous=content["previous"], digest=previous)
    in_the_table(stage, {"pk": "APPLICATION#storefront", "sk": "HEAD"}, digest=previous)


def test_an_application_without_a_history_is_a_failure(stage: Any) -> None:
    result = stage.run("audit", "verify", "shop")
    assert result.exit_code == 1
    assert "has no facts of 'shop'" in result.stderr


# ---- exports -------------------------------------------------------------------------------------------------------


def exported(stage: Any, path: Path, *arguments: str) -> dict[str, Any]:
    result = stage.run("audit", "export", "storefront", "-o", str(path), *arguments)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_an_export_is_verified_without_aws(stage: Any, tmp_path: Path) -> None:
    stage.release().succeeded()
    file = tmp_path / "storefront.json"
    document = exported(stage, file)
    assert document["facts"] == stage.ledger.facts_of("storefront", "v1.4.0")
    stage.client("dynamodb").delete_table(TableName=TABLE)
    assert verify(stage, "--file", str(file), code=0)["facts"] == len(document["facts"])
    document["facts"][3]["data"] = {"all": "well"}
    file.write_text(json.dumps(document))
    assert verify(stage, "--file", str(file), code=1)["broken"]["seq"] == 4


def test_an_export_of_one_release_says_what_it_cannot_show(stage: Any, tmp_path: Path) -> None:
    stage.release("v1.4.0").succeeded()
    stage.release("v1.5.0").succeeded()
    file = tmp_path / "one.json"
    document = exported(stage, file, "--tag", "v1.5.0")
    assert {fact["tag"] for fact in document["facts"]} == {"v1.5.0"}
    shown = stage.run("audit", "verify", "--file", str(file))
    assert shown.exit_code == 0
    assert (
        "It contains only the facts of v1.5.0; this check can't detect a fact that was left out."
        in shown.stdout
    )


def test_an_export_overwrites_nothing(stage: Any, tmp_path: Path) -> None:
    stage.release()
    file = tmp_path / "there.json"
    file.write_text("mine")
    result = stage.run("audit", "export", "storefront", "-o", str(file))
    assert result.exit_code == 1
    assert "Nothing was overwritten" in result.stderr
    assert file.read_text() == "mine"


NO_EXPORTS = [
    *("", "{", "[]", "null", '{"kind": "tagship audit export"}', "[" * 100_000, '{"kind": 1e999}'),
    '{"kind": "tagship audit export", "version": 1, "application": "a", "facts": [7]}',
    '{"kind": "tagship audit export", "version": 2, "application": "a", "facts": []}',
    '{"kind": "tagship audit export", "version": 1, "application": "a", "facts": [], "head": 7}',
]


def test_an_invalid_export_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    for text in NO_EXPORTS:
        file.write_text(text)
        with pytest.raises(
            Failed, match=r"does not contain Tagship's audit export|is not JSON|has version 2|its head"
        ):
            auditing.check_export(file)


# ---- evidence ------------------------------------------------------------------------------------------------------


def named(tmp_path: Path, made: dict[str, Any], content: Any = None) -> Path:
    file = tmp_path / evidence.key_of(made).rsplit("/", 1)[-1]
    file.write_bytes(bucket.as_bytes(made if content is None else content))
    return file


def test_evidence_is_verified_without_aws(stage: Any, tmp_path: Path) -> None:
    stage.release().succeeded()
    made = preserved(stage)
    document = verify(stage, "--bundle", str(named(tmp_path, made)), code=0)
    assert (document["whole"], document["facts"]) == (True, len(made["facts"]))


def forged(made: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """With a digest that fits."""
    content = {name: value for name, value in made.items() if name != "digest"} | changes
    return content | {"digest": digest_of(content)}


CHANGES: list[tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = [
    (lambda made: made | {"why": "All was well."}, "altered"),
    (lambda made: made | {"facts": [*made["facts"][:2], made["facts"][2] | {"who": "x"}]}, "altered"),
    (lambda made: forged(made, facts=made["facts"][:-1]), "missing"),
    (lambda made: forged(made, facts=[]), "missing"),
    (lambda made: forged(made, ended={}), "missing"),
    (lambda made: forged(made, release=made["release"] | {"digest": "0" * 64}), "altered"),
    (lambda made: forged(made, facts=made["facts"][:3], ended=made["facts"][2]), "rewritten"),
]


def test_changed_evidence_fails_verification(stage: Any, tmp_path: Path) -> None:
    stage.release().succeeded()
    made = preserved(stage)
    for change, kind in CHANGES:
        broken = auditing.check_bundle(named(tmp_path, made, change(made))).broken
        assert broken is not None
        assert broken.kind == kind


@pytest.mark.parametrize(
    "arguments", [(), ("storefront", "--file", __file__), ("--file", __file__, "--bundle", __file__)]
)
def test_only_one_thing_can_be_verified_at_a_time(stage: Any, arguments: tuple[str, ...]) -> None:
    assert stage.run("audit", "verify", *arguments).exit_code == 2
