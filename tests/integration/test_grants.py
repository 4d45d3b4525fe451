"""Each function, and CI, fails without each permission of its role, action by action, with IAM enforced.

At six moments of one release: at its publication, during approval, during the decision, before the decision is
delivered, during its first bake, and after its rollback. Nothing that was refused is lost: with the permission
restored, it is done.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from tagship.approval.proof import command_line_proof
from tagship.approval.quorum import outcome
from tagship.ledger import approvals, releases
from tagship.model.release import parameter_name
from tagship.model.schedule import EVERY_APPLICATION
from tagship_cli.main import main
from tagship_cli.place import World
from tests.github_server import WEBHOOK_SECRET, GitHub, app_secret, github
from tests.integration.conftest import Pipeline, wait_for
from tests.integration.rights import REFUSED, SIGNING_SECRET, TEAM, Deployed, Rights, Try, refused_without
from tests.slack_server import Slack, slack
from tools import people
from tools.stack import REGION, STAGE
from tools.storefront import NAME, pack

NOT_SHOWN = {
    ("*", "sts:TagSession"): "the engine asks for sts:AssumeRole alone",
    ("read_release", "s3:ListBucket"): "without it S3 answers 403, not 404; the engine 404",
    ("preserve", "sqs:SendMessage"): "SAM gives it as well, for the records that Lambda itself gives up",
    ("notify", "kms:Decrypt"): "the engine's topics are not encrypted",
    ("notify", "kms:GenerateDataKey"): "the engine's topics are not encrypted",
    **{
        ("promote", action): "one stage has no next one; tests/flow/test_promotion.py has two, without rights"
        for action in (
            *("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
            *("s3:GetObjectVersion", "sts:AssumeRole"),
        )
    },
}
"""By function and action, and why."""
OTHER = "basket"
KEY = "alias/tagship-release-signing"
OURS = f"tagship/{STAGE}/{NAME}"
SECRET, WEBHOOK = f"{OURS}/slack-grants", f"{OURS}/github-webhook"
LEDGER = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
LONG_AGO = "2020-01-01T00:00:00.000Z"


def test_each_function_and_ci_fail_without_each_of_their_permissions(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    with slack() as server, github() as there, prepared(pipeline, server, there):
        here = Deployed.found(pipeline, server)
        shown = _published(here, tmp_path)
        pipeline.link(here.tag)
        shown |= refused_without(here, _while_it_waits(here))
        asks = here.asked(
            "approval_page", here.webhook(there.api), without=["secretsmanager:GetSecretValue #2"]
        )
        shown |= refused_without(here, {"approval_page": [asks]})
        shown |= _proposed(here)
        shown |= refused_without(here, _if_it_were_gone(here, "dynamodb:PutItem", "dynamodb:UpdateItem"))
        shown |= _decided(here)
        execution = here.record["execution"]
        wait_for(lambda: "Bake" in pipeline.entered(execution) or None, "the first step's bake")
        shown |= refused_without(here, _while_it_bakes(here))
        shown |= refused_without(here, _if_it_paused(here))
        shown |= refused_without(here, _if_it_went_on(here))
        shown |= refused_without(here, _if_it_were_gone(here, "states:StartExecution"))
        shown |= _taken_back(here)
        shown |= refused_without(here, _when_it_has_ended(here))
        shown |= _job_answered(here, there)
        granted = set().union(*(here.role(folder).rights() for folder in (*here.functions, "publisher")))
    not_shown = {right for right in granted if right in NOT_SHOWN or ("*", right[1]) in NOT_SHOWN}
    assert granted - shown == not_shown


@contextmanager
def prepared(pipeline: Pipeline, server: Slack, there: GitHub) -> Iterator[None]:
    """A key to sign with, a Slack, a GitHub whose jobs wait, and an application that uses all of them."""
    kms, secrets = pipeline.client("kms"), pipeline.client("secretsmanager")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=KEY, TargetKeyId=key)
    buttons = {"signingSecret": SIGNING_SECRET, "team": TEAM, "users": {"U0ANA": "ana@example.com"}}
    written = json.loads(server.secret("ana@example.com")) | buttons
    named = {SECRET: json.dumps(written), f"{OURS}/github-app": app_secret(), WEBHOOK: WEBHOOK_SECRET}
    for name, text in named.items():
        secrets.create_secret(Name=name, SecretString=text)
    pipeline.configure(
        strategy={"bake": 300},
        approval={
            "approvers": ["ana@example.com", "bo@example.com"],
            "required": 2,
            "expires": 3600,
            "remindEvery": 3600,
        },
        gates={"signature": {"key": KEY}},
        health={"every": 300, "checks": [{"type": "lambda"}]},
        notifications={
            "slackWebhookSecret": SECRET,
            "emails": ["team@example.com"],
            "level": "everything",
            "github": {
                "repository": "acme/storefront",
                "api": there.api,
                "protectionRule": {"environment": "production"},
            },
        },
    )
    try:
        yield
    finally:
        for name in named:
            secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        kms.delete_alias(AliasName=KEY)


def _published(here: Deployed, folder: Path) -> Rights:
    """By CI, in the publisher's role, which uploads for its application and does nothing else."""
    outputs, here.tag = here.pipeline.stack.outputs, here.pipeline.tag()
    bucket, key = outputs["ReleaseBucketName"], f"releases/{NAME}/{here.tag}/release.json"
    session = here.pipeline.client("sts").assume_role(
        RoleArn=outputs["PublisherRoleArn"], RoleSessionName="ci"
    )["Credentials"]
    environment = {
        "AWS_ENDPOINT_URL": here.pipeline.stack.engine.endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
    (folder / "storefront.zip").write_bytes(pack(here.tag))
    options = {"application": NAME, "tag": here.tag, "artifact": f"function={folder / 'storefront.zip'}"}
    options |= {"stage": here.pipeline.stack.stage, "bucket": bucket, "sign": KEY}
    options |= {"repository": "acme/storefront", "author": "dana@example.com"}
    options |= {"commit": "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4"}

    def publishes() -> str:
        arguments = [f"--{name}={value}" for name, value in options.items()]
        done = CliRunner().invoke(main, ["publish", *arguments], env=environment, obj=World())
        return done.output if done.exit_code else ""

    before = Try(fails=publishes, without=["s3:PutObject", "kms:Sign"])
    shown = refused_without(here, {"publisher": [before]})
    assert not publishes()
    # Existing objects are read.
    shown |= refused_without(here, {"publisher": [Try(fails=publishes)]})

    made = boto3.session.Session(
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
        region_name=REGION,
    )
    s3, ledger = (
        made.client(each, endpoint_url=environment["AWS_ENDPOINT_URL"]) for each in ("s3", "dynamodb")
    )
    for refused in (
        lambda: s3.put_object(Bucket=bucket, Key="releases/another/v1.0.0/release.json", IfNoneMatch="*"),
        lambda: s3.delete_object(Bucket=bucket, Key=key),
        lambda: s3.list_objects_v2(Bucket=bucket),
        lambda: ledger.scan(TableName=outputs["LedgerTableName"]),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"{}", IfNoneMatch="*")
    return shown


def _while_it_waits(here: Deployed) -> dict[str, list[Try]]:
    order = json.loads(here.stopped["detail"]["input"])
    execution, ending = here.record["execution"], {"status": "INVALID", "cause": "shown"}
    link = here.pipeline.link(here.tag)

    def looked() -> str:
        page = people.look(link)
        return "" if page.status == 200 else page.text

    gates = ("integrity", "signature", "calendar", "target")
    return {
        "read_release": [here.asked("read_release", {"order": order, "execution": execution})],
        "acquire_lock": [
            here.asked("acquire_lock", {"release": here.release, "execution": execution}),
            here.superseded(without=["dynamodb:PutItem", "dynamodb:Query"]),
        ],
        "run_gate": [here.asked("run_gate", {**here.about, "gate": gate}) for gate in gates],
        "judge_gates": [
            here.asked(
                "judge_gates",
                {"release": here.release, "planning": 1, "fence": 1, "results": here.record["gates"]},
            )
        ],
        "plan_deployment": [here.asked("plan_deployment", here.about)],
        "request_approval": [here.asks_approvers("request_approval", reminder=False)],
        "remind_approvers": [here.asks_approvers("remind_approvers", reminder=True)],
        "approval_page": [Try(fails=looked)],
        "end_release": [
            here.asked("end_release", {"release": here.release, "ending": ending}, without=LEDGER),
        ],
        # The event has no cause, so the execution is asked for it.
        "supervise": [here.asked("supervise", here.stopped, without=[*LEDGER, "states:DescribeExecution"])],
        "promote": [here.asked("promote", {})],  # it looks for what is open, and finds nothing
        "sweep": [
            here.changed(
                f"APPLICATION#{NAME}",
                f"RELEASE#{here.tag}",
                {"readAt": LONG_AGO},
                here.asked("sweep", {}),
            )
        ],
    }


def _proposed(here: Deployed) -> Rights:
    """A change of another application's configuration, whose request is sent to nobody; it is decided as on the page."""
    ledger, tag = here.pipeline.ledger, "configuration-1"
    document = json.loads(
        here.pipeline.client("ssm").get_parameter(
            Name=parameter_name(here.pipeline.stack.stage, NAME), WithDecryption=True
        )["Parameter"]["Value"]
    )
    order = {
        "application": OTHER,
        "tag": tag,
        "document": {**document, "application": OTHER, "notifications": {}},
        "by": "dana@example.com",
        "emergency": "",
    }
    read = {"order": {"proposal": order}, "execution": here.record["execution"]}
    about = {
        "release": {"application": OTHER, "tag": tag, "attempt": 1},
        "execution": here.record["execution"],
    }
    asking = about | {"lock": {"fence": 0}, "taskToken": "nobody's"}
    shown = refused_without(
        here, {"read_release": [here.asked("read_release", read, without=["dynamodb:Query"])]}
    )
    assert not here.refuses("read_release", read)
    shown |= refused_without(
        here, {"request_approval": [here.asked("request_approval", asking, without=["dynamodb:Query"])]}
    )
    request = approvals.get(ledger, releases.get(ledger, OTHER, tag)["approval"])
    assert request is not None
    proof = command_line_proof(
        here.pipeline.client("kms"),
        here.pipeline.stack.outputs["DecisionKeyArn"],
        stage=STAGE,
        approval_id=request["id"],
        digest=request["digest"],
        approver="owner@example.com",
        identity="",
    )
    approvals.decide(
        ledger,
        request["id"],
        approver="owner@example.com",
        decision="approve",
        reason="",
        judge=outcome,
        proof=proof.stored(),
    )
    stores = "store_configuration"
    counts = ("dynamodb:Query", "dynamodb:Query #2", "kms:VerifyMac")
    shown |= refused_without(here, {stores: [here.asked(stores, about, without=[*LEDGER, *counts])]})
    # It is in force then, and Parameter Store does not have it.
    return shown | refused_without(
        here, {stores: [here.asked(stores, about, without=["ssm:GetParameter", "ssm:PutParameter"])]}
    )


def _if_it_were_gone(here: Deployed, *without: str) -> dict[str, list[Try]]:
    """As if AWS no longer knew the release's execution. Runs alone, because it would affect the others."""
    gone = {"readAt": LONG_AGO, "execution": here.record["execution"] + "-gone"}
    swept = here.asked("sweep", {}, without=without)
    return {"sweep": [here.changed(f"APPLICATION#{NAME}", f"RELEASE#{here.tag}", gone, swept)]}


def _decided(here: Deployed) -> Rights:
    """A refused decision is not recorded, and a recorded one is not lost: pressing again continues."""
    page, button = here.role("approval_page"), here.button()

    def has_decided(who: str) -> bool:
        return who in {entry["approver"] for entry in here.request["decisions"]}

    def pressed() -> str:
        page = form.press("approve")
        return page.text if page.status >= 500 else ""

    in_slack = here.asked("approval_page", button, without=["secretsmanager:GetSecretValue"])
    shown = refused_without(here, {"approval_page": [in_slack]})
    assert not has_decided("ana@example.com")

    def decides() -> bool | None:
        return (not here.refuses("approval_page", button) and has_decided("ana@example.com")) or None

    wait_for(decides, "the page to ask for the secret again, whose refusal it keeps for seconds")

    form = here.form()
    on_the_page = Try(
        fails=pressed, without=["dynamodb:PutItem", "dynamodb:UpdateItem", "states:DescribeExecution"]
    )
    shown |= refused_without(here, {"approval_page": [on_the_page]})
    assert not has_decided("bo@example.com")
    with page.without("states:SendTaskSuccess"):
        assert REFUSED.search(pressed()) and has_decided("bo@example.com")
    shown |= {("approval_page", "states:SendTaskSuccess")}
    shown |= refused_without(here, _while_nobody_is_notified(here))
    assert not pressed()
    return shown


def _while_nobody_is_notified(here: Deployed) -> dict[str, list[Try]]:
    tell = ["states:SendTaskSuccess"]
    old = here.asked("sweep", {}, without=tell)
    return {
        "acquire_lock": [here.superseded(without=tell)],
        "request_approval": [here.asked("request_approval", here.asking, without=tell)],
        "sweep": [
            here.changed(f"APPROVAL#{here.record['approval']}", "APPROVAL", {"askedAt": LONG_AGO}, old)
        ],
        "recheck_release": [
            here.asked(
                "recheck_release",
                # its own execution, which has the lock from then on
                {**here.about, "execution": here.record["execution"]},
                without=[*LEDGER, "dynamodb:Query", "dynamodb:Query #2", "kms:VerifyMac", "sts:AssumeRole"],
            )
        ],
    }


def _if_it_went_on(here: Deployed) -> dict[str, list[Try]]:
    """As if the bake were over. A step that was taken before calls nobody, so only the next one shows these permissions."""
    deployment = _deployment(here)
    first, second = deployment["steps"]
    deployment |= {"steps": [first, {**second, "percent": 20}], "next": 1}
    shifted = here.asked(
        "shift_traffic",
        {**here.about, "deployment": deployment},
        without=["dynamodb:PutItem", "sts:AssumeRole"],
    )
    return {"shift_traffic": [shifted]}


def _if_it_paused(here: Deployed) -> dict[str, list[Try]]:
    """As if an operator had ordered a pause before the next step; each try opens another one."""
    deployment = {**_deployment(here), "next": 1, "bake": 300, "every": 300}
    asking = {**here.about, "deployment": deployment, "results": [], "lookIn": 60, "taskToken": "nobody's"}
    terms = {"before": 1, "state": "ordered", "by": "kim", "why": "shown"}
    terms |= {"timeout": 3600, "onTimeout": "rollback"}
    numbers = itertools.count(1)

    def opens() -> str:
        ordered = {"pause": {**terms, "number": next(numbers)}, "pauseBefore": 1}
        asks = here.changed(
            f"APPLICATION#{NAME}", f"RELEASE#{here.tag}", ordered, here.asked("pause_rollout", asking)
        )
        return here.sends_links(asks.fails)

    goes_on = here.asked(
        "pause_rollout",
        {**asking, "deployment": {**deployment, "next": 2}},
        without=["states:SendTaskSuccess"],
    )
    return {"pause_rollout": [Try(fails=opens), goes_on]}


def _deployment(here: Deployed) -> dict[str, Any]:
    steps = here.record["plan"]["steps"]
    until = {"proveBy": "2999-01-01T00:00:00.000Z", "deadline": here.record["deadline"]}
    fence = here.about["lock"]["fence"]
    return {"fence": fence, "steps": steps, "count": len(steps), "next": 0, **until}


def _while_it_bakes(here: Deployed) -> dict[str, list[Try]]:
    about, release, deployment = here.about, here.release, _deployment(here)
    pk, begun = f"APPLICATION#{NAME}", {"bake": 300, "every": 300}
    looked = {
        "deployment": {**deployment, **begun, "step": "1 of 2", "followingNeed": 0},
        "baking": {"until": "", "extended": False},
        "results": [{"check": "lambda", "verdict": "unhealthy", "why": "shown", "numbers": {}}],
        "subject": "candidate",
    }
    check = {"subject": "candidate"}
    order = {"order": {**release, "trigger": "operator", "why": "shown"}}
    back = ["states:StartExecution"]
    # As if it had succeeded, and were watched.
    alarm = {
        "AlarmArn": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:shown",
        "NewStateValue": "ALARM",
        "StateChangeTime": "2026-01-01T00:00:00.000Z",
    }
    watched = {**release, "since": LONG_AGO, "until": "2999-01-01T00:00:00.000Z"}
    fires = here.asked(
        "watch",
        {"Records": [{"Sns": {"Message": json.dumps(alarm)}}]},
        without=[*LEDGER, "dynamodb:Query", *back],
    )
    return {
        "prove_candidate": [here.asked("prove_candidate", {**about, "deployment": deployment})],
        "shift_traffic": [here.asked("shift_traffic", {**about, "deployment": deployment})],
        "await_stable": [
            here.asked(
                "await_stable", {**about, **begun, "percent": 10, "settleBy": "2999-01-01T00:00:00.000Z"}
            )
        ],
        "check_health": [here.asked("check_health", {**about, **check})],
        "judge_health": [here.asked("judge_health", {**about, **looked}, without=LEDGER)],
        "complete_release": [
            here.asked("complete_release", {**about, "execution": here.record["execution"]}, without=LEDGER)
        ],
        "restore_baseline": [here.asked("restore_baseline", order, without=LEDGER)],
        "supervise": [here.asked("supervise", here.stopped, without=back)],
        "watch": [
            here.changed(
                pk,
                "CURRENT",
                release,
                here.changed("ALARM#000000000000#us-east-1#shown", pk, watched, fires),
            )
        ],
    }


def _taken_back(here: Deployed) -> Rights:
    """Somebody stops it while the rollback may not assume the application's role; it retries until it may."""
    states, execution = here.pipeline.client("stepfunctions"), here.record["execution"]
    machine = here.pipeline.stack.outputs["RollbackStateMachineArn"]

    def refused() -> bool | None:
        for found in states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]:
            history = states.get_execution_history(executionArn=found["executionArn"])
            if "CredentialsRefused" in str(history["events"]):
                return True
        return None

    with here.role("restore_baseline").without("sts:AssumeRole"):
        states.stop_execution(executionArn=execution)
        wait_for(refused, "the refused rollback")
        assert here.pipeline.alias()[1]
    here.pipeline.settled(here.tag, "ABORTED")
    assert not here.pipeline.alias()[1]
    return {("restore_baseline", "sts:AssumeRole")}


def _when_it_has_ended(here: Deployed) -> dict[str, list[Try]]:
    fact = next(fact for fact in here.pipeline.facts(here.tag) if fact["name"] == "Release Aborted")
    channels = ("bus", "topic", "slack", "mail")
    # Every earlier notice has been delivered by then, and none is left for later tests. The bus has no record.
    for channel in channels[1:]:
        wait_for(lambda: here.pipeline.item(f"NOTICE#{channel}#{fact['sk']}"), f"the ending on {channel}")  # noqa: B023
    stream = {"dynamodb": {"SequenceNumber": "1", "NewImage": here.item(fact["pk"], fact["sk"])}}
    ending = {"fact": {"application": NAME, "tag": here.tag, "seq": fact["seq"]}}

    # It concerns all applications and does not come from the stream, so nobody is notified.
    where = {"pk": f"APPLICATION#{EVERY_APPLICATION}", "sk": "FACT##0000#Frozen#shown"}
    frozen = {
        "name": "Frozen",
        "application": EVERY_APPLICATION,
        "tag": "",
        "attempt": 0,
        "execution": "",
        "stage": here.pipeline.stack.stage,
        "digest": "shown",
        "who": "ana",
        "at": LONG_AGO,
        "data": {"why": "shown", "starts": LONG_AGO, "ends": LONG_AGO},
    }
    each_reader = ["ssm:GetParametersByPath", "sqs:SendMessage"]

    def put_off() -> str:
        here.slack.answers["channel"] = (503, "down")
        try:
            return here.notified("slack", fact).fails()
        finally:
            del here.slack.answers["channel"]

    return {
        "preserve": [here.asked("preserve", ending)],
        "broadcast": [here.asked("broadcast", {"Records": [stream]})],
        "notify": [
            *(here.notified(channel, fact) for channel in channels),
            Try(fails=put_off, without=["sqs:ChangeMessageVisibility"]),
            here.changed(*where.values(), frozen, here.notified("mail", where | frozen, without=each_reader)),
            # The channel does not exist, so it would be set aside.
            here.notified("nowhere", fact, without=["sqs:SendMessage #2"]),
        ],
    }


def _job_answered(here: Deployed, there: GitHub) -> Rights:
    """A job of GitHub's is recorded by the page, and GitHub hears from `notify` that it has to wait."""
    asks = here.asked("approval_page", here.webhook(there.api), without=["ssm:GetParameter"])
    shown = refused_without(here, {"approval_page": [asks]})
    assert not here.refuses("approval_page", here.webhook(there.api))
    (fact,) = [it for it in here.pipeline.ledger.facts_of(NAME, "") if it["name"] == "Job Waiting"]
    key = {"pk": f"APPLICATION#{NAME}", **fact}
    wait_for(lambda: here.pipeline.item(f"NOTICE#github-jobs#{fact['sk']}"), "the job's comment")
    assert there.states == [""]
    waits = here.notified("github-jobs", key, without=["ssm:GetParameter"])
    return shown | refused_without(here, {"notify": [waits]})
