"""The sample target of examples/custom on the embedded engine: a name in Route 53 that the team's own function moves.

The engine answers no DNS questions. So customers pick a host from the name's records by weight, as a resolver would, and ask
that host; the hosts are one small server on this machine.
"""

from __future__ import annotations

import http.server
import io
import json
import random
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.stack import ROOT, Engine, LocalError
from tools.team import Team
from tools.traffic import NOBODY, Answer, asked

HOME = ROOT / "examples" / "custom"
NAME, FUNCTION, RECORD = "storefront", "storefront-deployer", "shop.example.com"
OLD = "storefront-0.example.com"
HOSTS: Mapping[str, str] = {
    "v1.0.0": "storefront-1.example.com",
    "v1.1.0": "storefront-2.example.com",
    "v1.2.0": "storefront-3.example.com",
}
"""Which host runs which version."""
_ACTIVE_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The name as its team and its customers see it."""

    engine: Engine
    stage: str
    zone: str
    hosts: http.server.ThreadingHTTPServer = field(repr=False)
    broken: set[str] = field(default_factory=set)
    """The hosts whose version answers with errors."""
    name: str = NAME

    @classmethod
    def install(cls, engine: Engine, *, stage: str, stack: Mapping[str, str]) -> Record:
        """Creates the zone with its hosts, points the name at the old one, and creates the team's function."""
        dns = engine.client("route53")
        made = dns.create_hosted_zone(Name="example.com", CallerReference=NAME)
        zone = made["HostedZone"]["Id"].rsplit("/", 1)[-1]
        sets = [_record_set(host, "192.0.2.1", kind="A") for host in (OLD, *HOSTS.values())]
        pointing = {"SetIdentifier": OLD, "Weight": 100}
        dns.change_resource_record_sets(
            HostedZoneId=zone,
            ChangeBatch={
                "Changes": [
                    {"Action": "CREATE", "ResourceRecordSet": each}
                    for each in (*sets, _record_set(RECORD, OLD, kind="CNAME") | pointing)
                ]
            },
        )
        _create_function(engine, zone=zone, bucket=stack["ReleaseBucketName"])
        broken: set[str] = set()
        hosts = _hosts(broken, lambda: shares_in(engine, zone))
        return cls(engine=engine, stage=stage, zone=zone, hosts=hosts, broken=broken)

    @property
    def url(self) -> str:
        """Where the hosts answer."""
        return f"http://127.0.0.1:{self.hosts.server_address[1]}"

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Stores its application.yaml with this engine's addresses, and deploys the role that it needs."""
        document = self._team.document(settings={"zone": self.zone, "record": RECORD})
        # one small machine does all the work here, so an answer may take its time
        check = {"url": f"{self.url}/health", "maxLatencyMs": 10_000, "timeoutSeconds": 10}
        document["health"] = {"checks": [{"type": "http", **check}]}
        return self._team.configure(document, changes)

    def publish(self, tag: str, *, broken: bool = False, notes: str = "") -> None:
        """Starts the version on its host, and publishes the host's name."""
        if broken:
            self.broken.add(HOSTS[tag])
        file = self._team.folder / "host.json"
        file.write_text(json.dumps({"host": HOSTS[tag]}))
        self._team.publish(tag, artifact="release", file=file, notes=notes)

    def standing(self) -> str:
        """Where the name points, in words."""
        return ", ".join(f"{host} {share} %" for host, share in shares_in(self.engine, self.zone).items())

    def ask(self, _number: int) -> Answer:
        """One customer: the name is resolved by its weights, and the host is asked."""
        shares = shares_in(self.engine, self.zone)
        (host,) = random.choices(list(shares), list(shares.values()))  # noqa: S311 (as a resolver does, no secret)
        by_host = {each: tag for tag, each in HOSTS.items()}
        return asked(self.url, headers={"Host": host}, said_by=lambda *_: by_host.get(host, NOBODY))

    @property
    def _team(self) -> Team:
        return Team(engine=self.engine, stage=self.stage, application=NAME, home=HOME)


def shares_in(engine: Engine, zone: str) -> dict[str, int]:
    """Percent by host. Raises OSError where the name has no record."""
    found = engine.client("route53").list_resource_record_sets(
        HostedZoneId=zone, StartRecordName=RECORD, MaxItems="10"
    )["ResourceRecordSets"]
    shares = {
        each["ResourceRecords"][0]["Value"].rstrip("."): int(each["Weight"])
        for each in found
        if (each["Name"].rstrip("."), each["Type"]) == (RECORD, "CNAME")
    }
    if not any(shares.values()):
        raise OSError(f"{RECORD} has no record")
    return shares


def _record_set(name: str, value: str, *, kind: str) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}


def pack() -> bytes:
    """The example's function; the engine's Route 53 needs no minute until a change is everywhere."""
    code = (HOME / "app" / "app.py").read_text()
    slow = "PROPAGATION_SECONDS = 60\n"
    if code.count(slow) != 1:
        raise LocalError(f"{HOME / 'app' / 'app.py'} no longer has the line {slow.strip()!r}.")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", code.replace(slow, "PROPAGATION_SECONDS = 2\n"))
    return packed.getvalue()


def _create_function(engine: Engine, *, zone: str, bucket: str) -> None:
    """The team's function, with a role for the one zone and for reading what this application's releases bring."""
    iam, functions, role = engine.client("iam"), engine.client("lambda"), f"{FUNCTION}-role"
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    moving = ["route53:ListResourceRecordSets", "route53:ChangeResourceRecordSets"]
    reading = ["s3:GetObject", "s3:GetObjectVersion"]
    rights = [
        {"Effect": "Allow", "Action": moving, "Resource": f"arn:aws:route53:::hostedzone/{zone}"},
        {"Effect": "Allow", "Action": reading, "Resource": f"arn:aws:s3:::{bucket}/releases/{NAME}/*"},
    ]
    made = iam.create_role(
        RoleName=role,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    iam.put_role_policy(
        RoleName=role,
        PolicyName="release",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": rights}),
    )
    functions.create_function(
        FunctionName=FUNCTION,
        Runtime="python3.13",
        Role=made["Role"]["Arn"],
        Handler="app.handler",
        Code={"ZipFile": pack()},
        Timeout=8,
    )
    deadline = time.monotonic() + _ACTIVE_SECONDS
    while functions.get_function_configuration(FunctionName=FUNCTION)["State"] != "Active":
        if time.monotonic() > deadline:
            raise LocalError(f"{FUNCTION} was not active within {_ACTIVE_SECONDS} seconds.")
        time.sleep(0.2)


def _hosts(broken: set[str], shares: Callable[[], Mapping[str, int]]) -> http.server.ThreadingHTTPServer:
    """All hosts on one port: each request names its host. /health is well while every host with traffic is."""

    class Host(http.server.BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self) -> None:
            asked_for = set(shares()) if self.path == "/health" else {self.headers["Host"]}
            self.send_response(500 if asked_for & broken else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
