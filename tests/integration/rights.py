"""Functions of the deployed stack, asked directly, with and without the rights of their roles; about one release."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from boto3.dynamodb.types import TypeSerializer

from tagship.ledger.table import unpacked
from tests.github_server import WEBHOOK_SECRET, asking
from tests.integration.conftest import Pipeline
from tests.slack_server import Slack
from tools import people
from tools.storefront import NAME

Rights = set[tuple[str, str]]
"""Each the folder of a function (or `publisher`, whose role CI assumes), and an action."""
REFUSED = re.compile(r'AccessDenied|not authorized|"statusCode": 5')
"""In what a function answers or logs when AWS has refused it something."""
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TEAM = "T0123"
_NOTHING = {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """Something that a function does, or CI."""

    fails: Callable[[], str]
    """Does it, and answers with nothing, or with what was said instead."""
    without: Sequence[str] = ()
    """The only actions to remove, if the attempt would otherwise continue the release. Such an attempt is never made
    with all permissions."""

    def is_refused(self) -> bool:
        """Whether it fails; what never was seen to work must say that AWS refused it something."""
        said = self.fails()
        return bool(REFUSED.search(said)) if self.without else bool(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role on the engine, and the policy in it that the template writes out.

    What SAM adds is not asked about: logs, traces, the reading of streams and queues, and where Lambda puts what has failed.
    """

    iam: Any
    folder: str
    name: str
    policy: str

    def rights(self) -> Rights:
        return {(self.folder, action) for action in self._granted(self._document())}

    @contextmanager
    def without(self, action: str) -> Iterator[None]:
        """Until the block ends, without this one."""
        document = self._document()
        index, named = self._granted(document)[action]
        statements = [dict(statement) for statement in document["Statement"]]
        statements[index]["Action"] = [each for each in _listed(statements[index]["Action"]) if each != named]
        left = [statement for statement in statements if statement["Action"]]
        self._put({**document, "Statement": left or [_NOTHING]})
        try:
            yield
        finally:
            self._put(document)

    def _granted(self, document: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
        """Each action with its statement; `#2` marks an action that appears twice, for other resources."""
        found: dict[str, tuple[int, str]] = {}
        for index, statement in enumerate(document["Statement"]):
            for action in _listed(statement["Action"]):
                found[f"{action} #2" if action in found else action] = index, action
        return found

    def _document(self) -> dict[str, Any]:
        found = self.iam.get_role_policy(RoleName=self.name, PolicyName=self.policy)["PolicyDocument"]
        return dict(found)

    def _put(self, document: Mapping[str, Any]) -> None:
        self.iam.put_role_policy(
            RoleName=self.name, PolicyName=self.policy, PolicyDocument=json.dumps(document)
        )


@dataclass(slots=True, kw_only=True)
class Deployed:
    """The deployed functions, by the folder of their code, and the release that they are asked about."""

    pipeline: Pipeline
    slack: Slack
    functions: dict[str, str]
    tag: str = ""

    @classmethod
    def found(cls, pipeline: Pipeline, here: Slack) -> Deployed:
        functions = {}
        pages = pipeline.client("cloudformation").get_paginator("list_stack_resources")
        for page in pages.paginate(StackName=f"tagship-{pipeline.stack.stage}"):
            for resource in page["StackResourceSummaries"]:
                if resource["ResourceType"] == "AWS::Lambda::Function":
                    name = resource["LogicalResourceId"].removesuffix("Function")
                    folder = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
                    functions[folder] = resource["PhysicalResourceId"]
        return cls(pipeline=pipeline, slack=here, functions=functions)

    def role(self, folder: str) -> Role:
        """A function's: SAM numbers its policies, and here each has one. Or the publisher's."""
        iam = self.pipeline.client("iam")
        if folder == "publisher":
            name = self.pipeline.stack.outputs["PublisherRoleArn"].rsplit("/", 1)[-1]
            return Role(iam=iam, folder=folder, name=name, policy="upload")
        client = self.pipeline.client("lambda")
        arn = client.get_function_configuration(FunctionName=self.functions[folder])["Role"]
        policy = f"{folder.replace('_', ' ').title().replace(' ', '')}FunctionRolePolicy0"
        return Role(iam=iam, folder=folder, name=arn.rsplit("/", 1)[-1], policy=policy)

    # ---- the release -----------------------------------------------------------------------------------------------

    @property
    def record(self) -> dict[str, Any]:
        return self.pipeline.item(f"RELEASE#{self.tag}") or {}

    @property
    def request(self) -> dict[str, Any]:
        """Its request for approval, task token and all."""
        return unpacked(self.item(f"APPROVAL#{self.record['approval']}", "APPROVAL"))

    @property
    def release(self) -> dict[str, Any]:
        return {"application": NAME, "tag": self.tag, "attempt": self.record["attempt"]}

    @property
    def about(self) -> dict[str, Any]:
        """The input of most steps."""
        fence = (self.pipeline.item("LOCK") or {})["fence"]
        return {"release": self.release, "lock": {"fence": fence}, "planning": 1}

    @property
    def asking(self) -> dict[str, Any]:
        """The input of the step that asks for approval."""
        token = {"taskToken": self.request["taskToken"]}
        return self.about | token | {"execution": self.record["execution"]}

    @property
    def stopped(self) -> dict[str, Any]:
        """The event that Step Functions would send if somebody had stopped its execution."""
        execution = self.record["execution"]
        found = self.pipeline.client("stepfunctions").describe_execution(executionArn=execution)
        return {"detail": {"executionArn": execution, "status": "ABORTED", "input": found["input"]}}

    def form(self) -> people.Form:
        """The page, as bo opens it."""
        mail = people.newest_to(
            self.pipeline.stack.mails(), who="bo@example.com", application=NAME, tag=self.tag
        )
        assert mail
        return people.open_form(people.link_in(mail))

    def button(self) -> dict[str, Any]:
        """Ana's press of a button in Slack, as the page's function gets it."""
        said = json.dumps([self.slack.posts, self.slack.messages])
        value = re.search(rf"{self.record['approval']}\.[\w-]{{64}}", said)
        assert value, "the channel has no buttons"
        payload = {
            "type": "block_actions",
            "team": {"id": TEAM},
            "user": {"id": "U0ANA"},
            "response_url": self.slack.url(f"/actions/{TEAM}/1/pressed"),
            "state": {"values": {"reason": {"reason": {"value": None}}}},
            "actions": [{"action_id": "approve", "value": value[0]}],
        }
        body, at = urlencode({"payload": json.dumps(payload)}), str(int(time.time()))
        mac = hmac.new(SIGNING_SECRET.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
        return {
            "requestContext": {"http": {"method": "POST", "sourceIp": "203.0.113.7"}},
            "rawPath": "/slack/actions",
            "headers": {
                "content-type": "application/x-www-form-urlencoded",
                "x-slack-request-timestamp": at,
                "x-slack-signature": f"v0={mac}",
            },
            "body": body,
        }

    def webhook(self, api: str) -> dict[str, Any]:
        """GitHub's request for a job of a tag that is never published, as the page's function gets it."""
        body = json.dumps(asking(api, ref="v0.0.7"))
        mac = hmac.new(WEBHOOK_SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
        return {
            "requestContext": {"http": {"method": "POST", "sourceIp": "203.0.113.7"}},
            "rawPath": f"/github/{NAME}",
            "headers": {
                "content-type": "application/json",
                "x-github-event": "deployment_protection_rule",
                "x-hub-signature-256": f"sha256={mac}",
            },
            "body": body,
        }

    # ---- what is tried ---------------------------------------------------------------------------------------------

    def asked(self, folder: str, event: Mapping[str, Any], *, without: Sequence[str] = ()) -> Try:
        """A function, asked directly."""
        return Try(fails=lambda: self.refuses(folder, event), without=without)

    def refuses(self, folder: str, event: Mapping[str, Any]) -> str:
        """Nothing where the function answers. Each call is another execution's, unless it says whose: no session in the
        target's role is used again."""
        execution = f"arn:aws:states:us-east-1:000000000000:execution:shown:{uuid.uuid4()}"
        found = self.pipeline.client("lambda").invoke(
            FunctionName=self.functions[folder],
            Payload=json.dumps({"execution": execution} | dict(event)),
            LogType="Tail",
        )
        said = found["Payload"].read().decode() + base64.b64decode(found.get("LogResult", "")).decode()
        return said if "FunctionError" in found or REFUSED.search(said) else ""

    def superseded(self, without: Sequence[str]) -> Try:
        """Superseded by a newer release."""
        newer = {"application": NAME, "tag": "v999.0.0", "attempt": 1}
        locks = self.asked("acquire_lock", {"release": newer}, without=without)
        return self.changed(
            f"APPLICATION#{NAME}",
            f"RELEASE#{newer['tag']}",
            newer | {"status": "RUNNING", "readAt": "2999-01-01T00:00:00.000Z"},
            locks,
        )

    def asks_approvers(self, folder: str, *, reminder: bool) -> Try:
        """A function that sends the approvers their links, by mail and by Slack; it forgets first what it has sent."""

        def fails() -> str:
            self.set(f"APPROVAL#{self.record['approval']}", "APPROVAL", sent={})
            return self.sends_links(lambda: self.refuses(folder, self.asking), reminder=reminder)

        return Try(fails=fails)

    def sends_links(self, asks: Callable[[], str], *, reminder: bool = False) -> str:
        """Nothing where a link arrives by mail and by Slack; otherwise what was refused."""

        def arrived() -> list[int]:
            mails = [mail.subject for mail in self.pipeline.stack.mails(to="ana@example.com", about=self.tag)]
            posts = [json.dumps(message) for message in self.slack.to("ana") if self.tag in str(message)]
            return [sum(("Reminder" in text) == reminder for text in texts) for texts in (mails, posts)]

        before = arrived()
        said = asks()
        both = all(now > then for now, then in zip(arrived(), before, strict=True))
        return said or ("" if both else "a link did not arrive")

    def changed(self, pk: str, sk: str, values: Mapping[str, Any], each: Try) -> Try:
        """The same, while an item of the ledger is another."""

        def fails() -> str:
            before = self.item(pk, sk)
            self.set(pk, sk, **values)
            try:
                return each.fails()
            finally:
                self._back(pk, sk, before, values)

        return Try(fails=fails, without=each.without)

    def notified(self, channel: str, fact: Mapping[str, Any], *, without: Sequence[str] = ()) -> Try:
        """Sends a fact to a channel, after forgetting that it was delivered."""
        record = {
            "messageId": "1",
            "receiptHandle": "shown",
            "body": json.dumps({"channel": channel, "application": fact["application"], "fact": fact["sk"]}),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "MessageGroupId": "shown",
                "MessageDeduplicationId": "shown",
            },
        }

        def fails() -> str:
            self._delete(fact["pk"], f"NOTICE#{channel}#{fact['sk']}")
            return self.refuses("notify", {"Records": [record]})

        return Try(fails=fails, without=without)

    # ---- the ledger, by hand ---------------------------------------------------------------------------------------

    def set(self, pk: str, sk: str, **values: Any) -> None:
        self._update(
            pk,
            sk,
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={
                f":{name}": TypeSerializer().serialize(value) for name, value in values.items()
            },
        )

    def _back(self, pk: str, sk: str, before: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        if not before:
            self._delete(pk, sk)
            return
        if had := {name: unpacked({name: before[name]})[name] for name in values if name in before}:
            self.set(pk, sk, **had)
        if gone := [name for name in values if name not in before]:
            self._update(
                pk,
                sk,
                UpdateExpression="REMOVE " + ", ".join(f"#{name}" for name in gone),
                ExpressionAttributeNames={f"#{name}": name for name in gone},
            )

    def item(self, pk: str, sk: str) -> dict[str, Any]:
        return dict(self._table("get_item", pk, sk, ConsistentRead=True).get("Item", {}))

    def _update(self, pk: str, sk: str, **what: Any) -> None:
        self._table("update_item", pk, sk, **what)

    def _delete(self, pk: str, sk: str) -> None:
        self._table("delete_item", pk, sk)

    def _table(self, call: str, pk: str, sk: str, **what: Any) -> Any:
        table = self.pipeline.stack.outputs["LedgerTableName"]
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        return getattr(self.pipeline.client("dynamodb"), call)(TableName=table, Key=key, **what)


def refused_without(here: Deployed, tries: Mapping[str, Sequence[Try]]) -> Rights:
    """The rights without which one of these can't be done; with all of them, each can. Two functions at a time."""

    def refused(folder: str) -> Iterator[tuple[str, str]]:
        role = here.role(folder)
        for each in tries[folder]:
            assert each.without or not (said := each.fails()), f"{folder} with all its rights: {said}"
        # a warm function keeps the role that it has assumed for an execution: that right is taken away first
        for right in sorted(role.rights(), key=lambda right: (right[1] != "sts:AssumeRole", right)):
            fitting = [each for each in tries[folder] if not each.without or right[1] in each.without]
            if fitting:
                with role.without(right[1]):
                    if any(each.is_refused() for each in fitting):
                        yield right

    with ThreadPoolExecutor(2) as pool:
        return set().union(*pool.map(lambda folder: set(refused(folder)), tries))


def _listed(actions: str | list[str]) -> list[str]:
    return [actions] if isinstance(actions, str) else actions
