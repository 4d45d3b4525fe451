"""The sample stack of examples/cloudformation on the embedded engine: installed, configured, and published tag by tag.

Its customers put orders into the stack's queue. How long the queue keeps them says which release made it so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.stack import ACCOUNT, ROOT, Engine, outputs
from tools.team import Team
from tools.traffic import NOBODY, Answer

HOME = ROOT / "examples" / "cloudformation"
NAME, BUCKET, ALARM = "orders", "orders-templates", "orders-waiting"
TAKEN = "/orders/taken"
"""A parameter of this name exists already, and is not the stack's."""
DAYS: Mapping[str, int] = {"v1.0.0": 5, "v1.1.0": 7, "v1.2.0": 14}
"""How long an order waits before it is lost, by release; 4 days before the first."""
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The stack as its team and its customers see it."""

    engine: Engine
    stage: str
    url: str
    """Of the queue."""
    name: str = NAME

    @classmethod
    def install(cls, engine: Engine, *, stage: str, **_: object) -> Orders:
        """Creates the example's stack, the bucket for its templates, and someone else's parameter."""
        engine.client("s3").create_bucket(Bucket=BUCKET)
        engine.client("ssm").put_parameter(Name=TAKEN, Value="someone else's", Type="String")
        cloudformation = engine.client("cloudformation")
        cloudformation.create_stack(StackName=NAME, TemplateBody=template())
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        # The engine counts no messages, so its alarms have no data. In AWS this one is OK within a minute or two.
        engine.client("cloudwatch").set_alarm_state(
            AlarmName=ALARM, StateValue="OK", StateReason="No order waits."
        )
        return cls(engine=engine, stage=stage, url=outputs(engine, NAME)["QueueUrl"])

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Stores its application.yaml with this engine's addresses, and deploys the roles that it needs."""
        document = self._team.document(serviceRole=f"arn:aws:iam::{ACCOUNT}:role/{NAME}-stack")
        # the stack serves no address here
        checks = [check for check in document["health"]["checks"] if check["type"] != "http"]
        document["health"] = {"checks": checks}
        return self._team.configure(document, changes)

    def publish(self, tag: str, *, broken: bool = False, notes: str = "") -> None:
        """Publishes the template, and with a parameter how long orders are kept."""
        file = self._team.folder / "template.yaml"
        file.write_text(template(broken=broken))
        kept = f"KeepSeconds={DAYS[tag] * _DAY_SECONDS}"
        self._team.publish(tag, "--parameter", kept, artifact="template", file=file, notes=notes)

    def standing(self) -> str:
        """What the queue is like, in words."""
        return f"{self._days()} days"

    def ask(self, number: int) -> Answer:
        """One customer's order, and how long the queue would keep it. Raises OSError where there is no queue."""
        queues = self.engine.client("sqs")
        try:
            status = queues.send_message(QueueUrl=self.url, MessageBody=f"order {number}")["ResponseMetadata"]
            by_days = {days: tag for tag, days in DAYS.items()}
            return Answer(by_days.get(self._days(), NOBODY), status["HTTPStatusCode"])
        except (ClientError, BotoCoreError) as error:
            raise OSError(str(error)) from error

    def _days(self) -> int:
        found = self.engine.client("sqs").get_queue_attributes(
            QueueUrl=self.url, AttributeNames=["MessageRetentionPeriod"]
        )
        return int(found["Attributes"]["MessageRetentionPeriod"]) // _DAY_SECONDS

    @property
    def _team(self) -> Team:
        return Team(engine=self.engine, stage=self.stage, application=NAME, home=HOME)


def template(*, broken: bool = False) -> str:
    """The example's template; a broken one has a parameter whose name is taken, which no change set can know."""
    text = (HOME / "template.yaml").read_text()
    taken = (
        f"  Taken:\n    Type: AWS::SSM::Parameter\n    DependsOn: Waiting\n"
        f"    Properties: {{Name: {TAKEN}, Type: String, Value: ours}}\n\n"
    )
    return text.replace("Outputs:\n", f"{taken}Outputs:\n") if broken else text
