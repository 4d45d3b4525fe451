"""The sample state machine of examples/step-functions on the embedded engine: installed, configured, published tag by tag.

Its customers order through the alias. Each order is an execution, of the version that the alias gave it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.stack import ROOT, Engine, outputs
from tools.team import Team
from tools.traffic import NOBODY, Answer

HOME = ROOT / "examples" / "step-functions"
NAME = "checkout"
"""The application's, its state machine's and its stack's."""
ALARM, GOODS, PARCELS = f"{NAME}-orders-late", f"{NAME}-goods", f"{NAME}-parcels"
_PUBLISHED_BY = f"tagship {NAME} "
"""How Tagship describes a version, with the tag after it."""
_ORDER_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The state machine as its team and its customers see it."""

    engine: Engine
    stage: str
    alias: str
    """What customers start, by its ARN."""
    name: str = NAME

    @classmethod
    def install(cls, engine: Engine, *, stage: str, **_: object) -> Checkout:
        """Creates the example's stack, whose state machine has no alias yet, and fills the shelves."""
        cloudformation = engine.client("cloudformation")
        cloudformation.create_stack(
            StackName=NAME,
            TemplateBody=(HOME / "template.yaml").read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        for sku in ("synthetic", "tea"):
            engine.client("dynamodb").put_item(
                TableName=GOODS, Item={"sku": {"S": sku}, "stock": {"N": "1000000"}}
            )
        # The engine measures no times. In AWS this alarm is OK within a minute or two.
        engine.client("cloudwatch").set_alarm_state(
            AlarmName=ALARM, StateValue="OK", StateReason="No order was late."
        )
        return cls(engine=engine, stage=stage, alias=outputs(engine, NAME)["OrdersArn"])

    @property
    def machine(self) -> str:
        """The ARN of the state machine itself, without the alias."""
        return self.alias.rpartition(":")[0]

    @property
    def url(self) -> str:
        """The alias: customers need no address."""
        return self.alias

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Stores its application.yaml with this engine's addresses, and deploys the role that it needs."""
        queue = self.engine.client("sqs").get_queue_url(QueueName=PARCELS)["QueueUrl"]
        machine = self.engine.client("stepfunctions").describe_state_machine(stateMachineArn=self.machine)
        payments = self.engine.client("lambda").get_alias(FunctionName=f"{NAME}-payments", Name="live")
        document = self._team.document(
            executionRoles=[machine["roleArn"]],
            substitutions={"Payments": payments["AliasArn"], "Parcels": queue},
        )
        # two customers order less here than in a shop
        checks = [
            check | {"minSamples": 1} for check in document["health"]["checks"] if check["type"] == "outcomes"
        ]
        document["health"] = {"checks": [*checks, {"type": "alarm", "names": [ALARM]}]}
        return self._team.configure(document, changes)

    def publish(self, tag: str, *, broken: bool = False, notes: str = "") -> None:
        """Publishes a definition."""
        file = self._team.folder / "order.asl.json"
        file.write_text(definition(tag, broken=broken))
        self._team.publish(tag, artifact="definition", file=file, notes=notes)

    def standing(self) -> str:
        """Where new orders go, in words."""
        return ", ".join(f"version {version} with {share} %" for version, share in self._routes()) or "nobody"

    def ask(self, number: int) -> Answer:
        """One customer's order, when it has ended: the release whose definition it ran. Raises OSError where none starts."""
        states, order = (
            self.engine.client("stepfunctions"),
            {"orderId": f"{number}", "sku": "tea", "amount": 5},
        )
        try:
            started = states.start_execution(stateMachineArn=self.alias, input=json.dumps(order))
            deadline = time.monotonic() + _ORDER_SECONDS
            while True:
                found = states.describe_execution(executionArn=started["executionArn"])
                if found["status"] != "RUNNING" or time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            version = states.describe_state_machine(stateMachineArn=found["stateMachineVersionArn"])
        except (ClientError, BotoCoreError) as error:
            raise OSError(str(error)) from error
        description = str(version.get("description", ""))
        tag = description.removeprefix(_PUBLISHED_BY) if description.startswith(_PUBLISHED_BY) else NOBODY
        return Answer(tag, 200 if found["status"] == "SUCCEEDED" else 500)

    def _routes(self) -> list[tuple[str, int]]:
        """Each version with its share; nothing where the alias does not exist."""
        states = self.engine.client("stepfunctions")
        try:
            found = states.describe_state_machine_alias(stateMachineAliasArn=self.alias)
        except states.exceptions.ResourceNotFound:
            return []
        routes = found["routingConfiguration"]
        return [(each["stateMachineVersionArn"].rpartition(":")[2], each["weight"]) for each in routes]

    @property
    def _team(self) -> Team:
        return Team(engine=self.engine, stage=self.stage, application=NAME, home=HOME)


def definition(tag: str, *, broken: bool = False) -> str:
    """The example's definition. From v1.1.0 on it orders a parcel too; a broken one asks each order for a weight.

    The synthetic order has a weight; no customer's order has one.
    """
    document: dict[str, Any] = json.loads((HOME / "order.asl.json").read_text())
    states = document["States"]
    if tag != "v1.0.0":
        states["Reserve"]["Next"] = "OrderParcel"
        states["OrderParcel"] = {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage",
            "Parameters": {"QueueUrl": "${Parcels}", "MessageBody.$": "$.orderId"},
            "ResultPath": None,
            "Next": "Ordered",
        }
    if broken:
        states["Reserve"]["Next"] = "WeighParcel"
        light, heavy = {"NumericLessThan": 20}, {"NumericGreaterThanEquals": 20}
        states["WeighParcel"] = {
            "Type": "Choice",
            "Choices": [{"Variable": "$.weight", **each, "Next": "OrderParcel"} for each in (light, heavy)],
        }
    return json.dumps(document, indent=2)
