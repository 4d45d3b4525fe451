"""A stack of 200 resources: planned as approvers read it and updated, and the same by `sam deploy`.

Both run on the engine's CloudFormation, which makes change sets at once: so the seconds are those of the tools.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tagship.model.errors import CandidateNotReady
from tagship.model.release import Artifact, PinnedObject
from tagship.targets.cloudformation_stack import TEMPLATE, StackTarget
from tagship.targets.cloudformation_update import Stack
from tagship.targets.kind import Artifacts, Change, Move
from tools.bench.table import SECONDS, Figure, Part, say
from tools.stack import ACCOUNT, REGION, Engine, LocalError, sam

RESOURCES, CHANGED = 200, 5
PATIENCE_SECONDS = 120
_STACK, _SAM_STACK, _BUCKET = "bench-stack", "bench-sam", "bench-templates"
_ROLE = f"arn:aws:iam::{ACCOUNT}:role/tagship-app-bench"


def measure(engine: Engine, bucket: str, *, runs: int) -> list[Part]:
    """Updates 5 of the resources once in each run.

    Raises LocalError if a change set or an update is not ready in its time.
    """
    say(f"a stack of {RESOURCES} resources")
    engine.client("s3").create_bucket(Bucket=_BUCKET)
    cloudformation = engine.client("cloudformation")
    for name in (_STACK, _SAM_STACK):
        cloudformation.create_stack(StackName=name, TemplateBody=_template(name, 0))
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
    planned, updated, shown, deployed = [], [], [], []
    for number in range(1, runs + 1):
        plan, update = _released(engine, bucket, number)
        planned.append(plan)
        updated.append(update)
        shown.append(_by_sam(engine, number, "--no-execute-changeset"))
        deployed.append(_by_sam(engine, number, "--no-confirm-changeset"))
    figures = [
        Figure(what="plan: the change set is made, read and put in words", unit=SECONDS, runs=planned),
        Figure(what="sam deploy --no-execute-changeset", unit=SECONDS, runs=shown),
        Figure(what="update, until the stack has settled", unit=SECONDS, runs=updated),
        Figure(what="sam deploy, from the start to its end", unit=SECONDS, runs=deployed),
    ]
    return [Part(title=f"{CHANGED} of {RESOURCES} resources of a stack change", figures=figures)]


def _released(engine: Engine, bucket: str, number: int) -> tuple[float, float]:
    """Seconds for the plan, and for the update."""
    spec = StackTarget(
        type="cloudformation",
        stack=_STACK,
        account=ACCOUNT,
        region=REGION,
        role=_ROLE,
        externalId="tagship-bench",
        serviceRole=_ROLE,
        bucket=_BUCKET,
    )
    target = Stack(application="bench", tag=f"v1.{number}.0", spec=spec, client=engine.client)
    artifacts = _uploaded(engine, bucket, number)
    began = time.monotonic()
    change = _until(lambda: _planned(target, artifacts), "change set")
    plan, began = time.monotonic() - began, time.monotonic()
    candidate = target.prepare(artifacts, change.candidate, lambda _: None).candidate
    assert candidate is not None
    etag = change.baseline.get("etag", "") if change.baseline else ""
    move = Move(baseline=change.baseline, candidate=candidate, percent=100, etag=etag, fence=number)
    target.set_weight(move)
    _until(lambda: target.verify_weight(move) == 0 or None, "update")
    return plan, time.monotonic() - began


def _planned(target: Stack, artifacts: Artifacts) -> Change | None:
    try:
        return target.plan(artifacts, {}, weighted=False)
    except CandidateNotReady:
        return None


def _until[Found](look: Callable[[], Found | None], what: str) -> Found:
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        if (found := look()) is not None:
            return found
        time.sleep(0.05)
    raise LocalError(f"The {what} of {_STACK} is not ready after {PATIENCE_SECONDS} s.")


def _by_sam(engine: Engine, number: int, how: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "template.json")
        file.write_text(_template(_SAM_STACK, number))
        began = time.monotonic()
        sam(
            *("deploy", "--template-file", file, "--stack-name", _SAM_STACK, "--region", REGION),
            *("--s3-bucket", _BUCKET, how),
            engine=engine,
        )
        return time.monotonic() - began


def _template(name: str, number: int) -> str:
    """Parameters; 5 have the number of the release as their value, and the others never change."""
    resources: dict[str, Any] = {
        f"Setting{at}": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {
                "Name": f"/{name}/{at}",
                "Type": "String",
                "Value": str(number if at < CHANGED else 0),
            },
        }
        for at in range(RESOURCES)
    }
    return json.dumps({"Resources": resources})


def _uploaded(engine: Engine, bucket: str, number: int) -> Artifacts:
    body, key = _template(_STACK, number).encode(), f"bench/stack/v1.{number}.0/template.json"
    version = engine.client("s3").put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
    digest = hashlib.sha256(body).hexdigest()
    artifact = Artifact(name=TEMPLATE, file="template.json", sha256=digest, size=len(body))
    return {TEMPLATE: (artifact, PinnedObject(bucket=bucket, key=key, versionId=version, size=len(body)))}
