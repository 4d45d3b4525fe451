"""`tagship conformance`, from outside, on the example of a custom target that runs as a function on the engine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tools.stack import ACCOUNT, REGION, ROOT, Engine

WHOLE = bool(os.environ.get("TAGSHIP_WHOLE_MATRIX"))
NAME = "storefront-deployer"
ZONE, RECORD, OLD, NEW = "example.com", "shop.example.com", "one.example.com", "two.example.com"
SOURCE = (ROOT / "examples" / "custom" / "app" / "app.py").read_text()
QUICK = ("PROPAGATION_SECONDS = 60", "PROPAGATION_SECONDS = 0")
"""The engine's Route 53 changes at once."""
REFUSES_AGAIN = """if state.shares == wanted:
            raise Refused("TargetInvalid", "There is nothing to restore.")
        if baseline:"""
DEFECTS = (
    # a plan that writes
    (
        "host, state = self._host(artifacts), self._read()",
        "host = self._host(artifacts); state = self._write((old := self._read()), old.shares, time.time_ns())",
    ),
    # a restore that works once
    ("if baseline:", REFUSES_AGAIN),
    # a fencing number that nobody reads
    ("if state.fence > fence:", "if False:"),
)


@pytest.fixture(scope="module")
def trial(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record that points at the old host, a release that names the new one, and the file that says so."""
    route53, s3 = engine.client("route53"), engine.client("s3")
    zone = route53.create_hosted_zone(Name=ZONE, CallerReference=NAME)["HostedZone"]["Id"].rpartition("/")[2]
    records = [(OLD, "1.example.org", {}), (NEW, "2.example.org", {})]
    records.append((RECORD, OLD, {"SetIdentifier": OLD, "Weight": 100}))
    changes = [
        {
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": f"{name}.",
                "Type": "CNAME",
                "TTL": 60,
                "ResourceRecords": [{"Value": value}],
                **more,
            },
        }
        for name, value, more in records
    ]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    bucket = f"{NAME}-trial"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="host.json", Body=json.dumps({"host": NEW}))["VersionId"]
    file = tmp_path_factory.mktemp("trial") / "trial.yaml"
    release = {"bucket": bucket, "key": "host.json", "versionId": version}
    file.write_text(
        json.dumps({"settings": {"zone": zone, "record": RECORD}, "artifacts": {"release": release}})
    )
    return file


def test_the_example_keeps_every_promise(engine: Engine, trial: Path) -> None:
    """Fault 62."""
    deployed(engine, QUICK)
    good = conformance(engine, trial)
    assert good.returncode == 0, good.stdout + good.stderr
    document = json.loads(good.stdout)
    assert (document["kept"], document["serves"]) == (True, OLD)


@pytest.mark.skipif(
    not WHOLE, reason="make matrix runs it; test_conformance.py runs such functions in memory"
)
def test_three_defects_of_a_deployer_are_named(engine: Engine, trial: Path) -> None:
    """Fault 62."""
    deployed(engine, QUICK, *DEFECTS)
    bad = conformance(engine, trial)
    assert bad.returncode == 1, bad.stdout + bad.stderr
    found = {
        each["name"]: each["why"] for each in json.loads(bad.stdout)["cases"] if each["result"] == "failed"
    }
    for name, words in {
        "Requests before approval change nothing, however often they are repeated": "The target's etag afterwards",
        "A plan that is made twice is the same": "baseline of the second plan",
        "A baseline is restored once, however often it is asked for": "There is nothing to restore.",
        "A share that comes after the restore is refused": "There is nothing to restore.",
        "An older fencing number may change nothing": "restore: expected LockLost, and it was done.",
    }.items():
        assert words in found.pop(name, ""), name
    assert found == {}, "defects that nobody planted"
    assert json.loads(bad.stdout)["serves"] == OLD


def deployed(engine: Engine, *changes: tuple[str, str]) -> None:
    """The example, with these parts of its text replaced."""
    text = SOURCE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", text)
    functions = engine.client("lambda")
    try:
        functions.update_function_code(FunctionName=NAME, ZipFile=packed.getvalue())
    except functions.exceptions.ResourceNotFoundException:
        functions.create_function(
            FunctionName=NAME,
            Runtime="python3.13",
            Role=role(engine),
            Handler="app.handler",
            Timeout=10,
            MemorySize=512,
            Code={"ZipFile": packed.getvalue()},
        )
    functions.get_waiter("function_updated_v2").wait(FunctionName=NAME, WaiterConfig={"Delay": 1})


def role(engine: Engine) -> str:
    """What the function may do: read the release, and change the zone."""
    iam = engine.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    actions = ["route53:ListResourceRecordSets", "route53:ChangeResourceRecordSets", "s3:GetObjectVersion"]
    made = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(
        RoleName=NAME,
        PolicyName="deploy",
        PolicyDocument=policy({"Effect": "Allow", "Action": actions, "Resource": "*"}),
    )
    return str(made["Role"]["Arn"])


def policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def conformance(engine: Engine, trial: Path) -> subprocess.CompletedProcess[str]:
    """The command, as somebody runs it who may invoke the function."""
    command = [Path(sys.executable).with_name("tagship"), "conformance", "--file", trial, "--yes", "--json"]
    return subprocess.run(
        [*command, f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}"],
        env=engine.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
