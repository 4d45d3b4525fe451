"""The command line as a program, against the deployed stack: what a team types, from a configuration to a rollback."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tagship.intake.reading import read_release
from tagship.ledger import releases
from tagship.ledger.table import Ledger
from tagship.model.release import Status, parameter_name
from tagship.runtime import utc_now
from tests.unit.cli.conftest import STACK
from tests.unit.gates.attested import WORKFLOW, bundle, statement, written
from tools.stack import ACCOUNT, REGION, ROOT, outputs
from tools.storefront import NAME, pack

WATCH_SECONDS = "90"
_patches = itertools.count(1)


class Shell:
    """A person's shell, with this stack's engine as AWS."""

    def __init__(self, pipeline: Any, folder: Path) -> None:
        self.pipeline = pipeline
        self.folder = folder
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'tagship'}",
            "AWS_ENDPOINT_URL": pipeline.stack.engine.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            "TAGSHIP_STAGE": pipeline.stack.stage,
            "TZ": "UTC",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`tagship` with these arguments."""
        return subprocess.run(
            [sys.executable, "-m", "tagship_cli.main", *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def done(self, *arguments: str) -> str:
        """The same, for a command that must exit with 0."""
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def publish(self, tag: str, *more: str, broken: bool = False) -> subprocess.CompletedProcess[str]:
        """Builds a version and publishes it."""
        (self.folder / "storefront.zip").write_bytes(pack(tag, broken=broken))
        return self.run(
            *("publish", "--application", NAME, "--tag", tag, "--artifact", "function=storefront.zip"),
            *("--commit", "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4", "--repository", "acme/storefront"),
            *("--author", "dana@example.com", *more),
        )

    def attest(self, tag: str) -> None:
        """GitHub's attestation of the build that `publish` makes."""
        build, ref = "predicate.buildDefinition", f"refs/tags/{tag}"
        said = statement(
            **{
                "subject.0.digest.sha256": hashlib.sha256(pack(tag)).hexdigest(),
                f"{build}.externalParameters.workflow.ref": ref,
                f"{build}.resolvedDependencies.0.digest.gitCommit": "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4",
                "predicate.runDetails.builder.id": WORKFLOW.replace("refs/tags/v1.4.0", ref),
            }
        )
        (self.folder / "provenance.jsonl").write_bytes(written(bundle(said)))

    def tag(self) -> str:
        """An unused tag that is newer than the current one."""
        runs = (self.pipeline.item("CURRENT") or {}).get("tag", "v1.0.0")
        return f"{runs.rpartition('.')[0]}.{next(_patches)}"

    def waits_for_approval(self, tag: str) -> dict[str, Any]:
        """The release's status once people are asked."""
        self.pipeline.link(tag)
        document = json.loads(self.done("status", NAME, "--json"))["applications"][0]
        return next(dict(each) for each in document["underway"] if each["tag"] == tag)


@pytest.fixture
def shell(pipeline: Any, tmp_path: Path) -> Shell:
    return Shell(pipeline, tmp_path)


def test_a_frozen_application_takes_no_release_and_the_next_one_is_approved_and_watched_until_it_succeeds(
    shell: Shell,
) -> None:
    """Fault 14, with the gate's own right to read freezes."""
    shell.done("freeze", NAME, "--until", "PT1H", "--reason", "the sale")
    stopped = shell.tag()
    assert shell.publish(stopped).returncode == 0
    watched = shell.run("watch", NAME, stopped, "--timeout", WATCH_SECONDS)
    assert watched.returncode == 1
    assert f"{NAME} {stopped} INVALID after" in watched.stdout
    assert "storefront is frozen until" in watched.stdout and "the sale" in watched.stdout
    assert "the sale" in shell.done("status", NAME)
    shell.done("unfreeze", NAME, "--reason", "the sale is over")
    tag = shell.tag()
    published = shell.publish(tag)
    assert published.returncode == 0, published.stderr
    assert f"tagship watch {NAME} {tag}" in published.stdout
    waiting = shell.waits_for_approval(tag)
    assert (waiting["phase"], waiting["waitsFor"]) == ("approval", ["ana@example.com"])
    approved = shell.done("approve", NAME, tag, "--as", "Ana@example.com", "--reason", "looked at the plan")
    assert "All required approvals are given: the deployment starts." in approved
    watched = shell.run("watch", NAME, tag, "--timeout", WATCH_SECONDS)
    assert watched.returncode == 0, watched.stdout + watched.stderr
    assert "ana@example.com approved it: that is enough" in watched.stdout
    assert "on the command line, as arn:aws:" in watched.stdout, "root names nobody"
    assert f"{NAME} {tag} SUCCEEDED after" in watched.stdout
    assert json.loads(shell.done("status", NAME, "--json"))["applications"][0]["runs"]["tag"] == tag
    assert f"{tag}" in shell.done("history", NAME).splitlines()[2]


def test_a_tag_can_be_used_once(shell: Shell) -> None:
    tag = shell.tag()
    assert shell.publish(tag).returncode == 0
    again = shell.publish(tag)
    assert again.returncode == 0
    assert "was already published with the same content; no new release starts" in again.stdout
    other = shell.publish(tag, broken=True)
    assert other.returncode == 1
    assert (
        "different content (different artifacts), and a tag can be used only once. Nothing was uploaded."
        in other.stderr
    )
    shell.waits_for_approval(tag)
    shell.done("reject", NAME, tag, "--as", "ana@example.com", "--reason", "only a test")
    watched = shell.run("watch", NAME, tag, "--timeout", WATCH_SECONDS)
    assert watched.returncode == 1
    assert f"{NAME} {tag} REJECTED after" in watched.stdout
    assert "Nothing was changed: the same version serves traffic as before." in watched.stdout


def test_a_broken_release_is_rolled_back_and_the_output_names_the_current_version(shell: Shell) -> None:
    good = shell.tag()
    shell.publish(good)
    shell.waits_for_approval(good)
    shell.done("approve", NAME, good, "--as", "ana@example.com")
    assert shell.run("watch", NAME, good, "--timeout", WATCH_SECONDS).returncode == 0
    tag = shell.tag()
    shell.publish(tag, broken=True)
    shell.waits_for_approval(tag)
    shell.done("approve", NAME, tag, "--as", "ana@example.com")
    watched = shell.run("watch", NAME, tag, "--timeout", WATCH_SECONDS, "--json")
    assert watched.returncode == 1
    ended = json.loads(watched.stdout.splitlines()[-1])["ended"]
    assert (ended["status"], ended["from"]) == ("ROLLED_BACK", good)
    output = shell.done("history", NAME, "--tag", tag)
    assert "rolling back: it was not healthy" in output
    assert f"{good} serves all traffic again and is healthy. No action is needed now." in output


def test_applying_a_configuration_shows_its_difference(shell: Shell) -> None:
    stored = shell.pipeline.client("ssm").get_parameter(
        Name=f"/tagship/{shell.pipeline.stack.stage}/applications/{NAME}"
    )
    document = json.loads(stored["Parameter"]["Value"])
    document["approval"]["remindEvery"] = "PT5M"
    (shell.folder / "application.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    assert "valid, an application's configuration (storefront)" in shell.done("validate")
    applied = shell.done("apply", "application.yaml", "--yes")
    assert "-  remindEvery: 600\n+  remindEvery: PT5M\n" in applied
    assert "No change" in shell.done("apply", "application.yaml")


def test_a_signed_attested_and_promoted_release_passes_and_one_signed_by_another_key_ends_invalid(
    shell: Shell,
) -> None:
    """Fault 9, with the gates' own right to verify and no other; from one stage's bucket to the next."""
    pipeline, kms = shell.pipeline, shell.pipeline.client("kms")
    for name in ("ours", "theirs", "promotion"):
        key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=f"alias/tagship-{name}", TargetKeyId=key)
    gates = {
        "signature": {"key": "alias/tagship-ours"},
        "provenance": {"repository": "acme/storefront", "attestation": "required"},
        "promotion": {"stage": "staging", "key": "alias/tagship-promotion"},
    }
    pipeline.configure(gates=gates)
    tag = shell.tag()
    shell.attest(tag)
    attested = ("--artifact", "provenance=provenance.jsonl")
    assert shell.publish(tag, *attested, "--sign", "alias/tagship-theirs").returncode == 0
    watched = shell.run("watch", NAME, tag, "--timeout", WATCH_SECONDS)
    assert watched.returncode == 1
    assert f"{NAME} {tag} INVALID after" in watched.stdout
    assert "is not a signature of this release.json by alias/tagship-ours" in watched.stdout
    assert "It was not promoted from staging" in watched.stdout
    tag = shell.tag()
    shell.attest(tag)
    with staging(pipeline) as succeeds:
        published = shell.publish(tag, *attested, "--sign", "alias/tagship-ours", "--stage", "staging")
        assert published.returncode == 0, published.stderr
        ways = ("--from", "staging", "--to", pipeline.stack.stage, "--sign", "alias/tagship-promotion")
        succeeds(tag)
        shell.done("promote", NAME, tag, *ways)
        assert "no new release starts" in shell.done("promote", NAME, tag, *ways)
    shell.waits_for_approval(tag)
    reasons = {result["gate"]: result["why"] for result in pipeline.item(f"RELEASE#{tag}")["gates"]}
    assert reasons["signature"] == "release.json was signed with alias/tagship-ours."
    assert reasons["provenance"].startswith("Built from acme/storefront at 8f1d5a0 by https://github.com/")
    assert reasons["promotion"].startswith("It succeeded in staging at ")
    shell.done("reject", NAME, tag, "--as", "ana@example.com", "--reason", "only a test")
    assert shell.run("watch", NAME, tag, "--timeout", WATCH_SECONDS).returncode == 1


@contextmanager
def staging(pipeline: Any) -> Iterator[Callable[[str], None]]:
    """A command's view of another stage: a bucket and a ledger. The named release has succeeded there."""
    cloudformation = pipeline.client("cloudformation")
    made = cloudformation.create_stack(StackName="tagship-staging", TemplateBody=json.dumps(STACK))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=made["StackId"], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    found = outputs(pipeline.stack.engine, "tagship-staging")
    ssm = pipeline.client("ssm")
    here = ssm.get_parameter(Name=parameter_name(pipeline.stack.stage, NAME))["Parameter"]["Value"]
    ssm.put_parameter(Name=parameter_name("staging", NAME), Value=here, Type="String", Overwrite=True)
    table = found["LedgerTableName"]
    ledger = Ledger(client=pipeline.client("dynamodb"), table=table, stage="staging", now=utc_now)

    def succeeds(tag: str) -> None:
        read = read_release(
            github_hosts=("api.github.com",),
            s3=pipeline.client("s3"),
            ssm=pipeline.client("ssm"),
            stage=ledger.stage,
            bucket=found["ReleaseBucketName"],
            key=f"releases/{NAME}/{tag}/release.json",
            version="",
            execution="staging",
        )
        releases.claim(ledger, read)
        ended = {"status": Status.SUCCEEDED, "why": "It is so.", "execution": "staging"}
        releases.end(ledger, application=NAME, tag=tag, attempt=1, **ended)

    try:
        yield succeeds
    finally:
        ssm.delete_parameter(Name=parameter_name("staging", NAME))
        cloudformation.delete_stack(StackName="tagship-staging")


def test_the_doctor_finds_problems_of_the_deployed_stage(shell: Shell) -> None:
    def found() -> dict[str, dict[str, str]]:
        looked = shell.run("doctor", NAME, "--json")
        assert "Traceback" not in looked.stderr, looked.stderr
        return {each["said"]: each for each in json.loads(looked.stdout)["findings"]}

    before = found()
    assert before["DeadLetters is empty."]["verdict"] == "ok"
    assert "Its role exists and has every right that its target, gates and checks need." in before
    assert any(said.startswith(f"{NAME} can be changed") for said in before)
    pipeline = shell.pipeline
    (queue,) = [
        resource["PhysicalResourceId"]
        for resource in pipeline.client("cloudformation").describe_stack_resources(
            StackName=f"tagship-{pipeline.stack.stage}"
        )["StackResources"]
        if resource["LogicalResourceId"] == "DeadLetters"
    ]
    sqs = pipeline.client("sqs")
    sqs.send_message(QueueUrl=queue, MessageBody="{}")
    try:
        after = found()
        assert after["DeadLetters holds 1: uploads that started no release."]["verdict"] == "wrong"
        assert set(before) - set(after) == {"DeadLetters is empty."}
    finally:
        sqs.purge_queue(QueueUrl=queue)


def test_a_missing_engine_is_reported_in_a_sentence(shell: Shell) -> None:
    shell.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    ended = shell.run("status", NAME)
    assert ended.returncode == 3
    assert "Check the network, --region and AWS_ENDPOINT_URL, then try again." in ended.stderr
    assert "Traceback" not in ended.stderr
