"""The sample site on the deployed stack, behind the engine's own CloudFront, which runs the function in Node.js."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import io
import json
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tagship.ledger.table import unpacked
from tests.conftest import Stack
from tests.integration.conftest import wait_for
from tools import people
from tools.stack import ACCOUNT, REGION, outputs

HOME = Path(__file__).parents[2] / "examples" / "static-site"
NAME = "website"
GOOD = {
    str(path.relative_to(HOME / "site")): path.read_bytes()
    for path in sorted((HOME / "site").rglob("*"))
    if path.is_file()
}
BROKEN = {path: content for path, content in GOOD.items() if path != "about/index.html"} | {
    "index.html": b"<!doctype html><title>Error</title>"
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Website:
    """The site as its team and its visitors see it."""

    stack: Stack
    domain: str
    address: str
    """The site's address for health checks, because the engine's distributions have no name that resolves everywhere.
    """
    folder: Path

    def tagship(self, *arguments: str | Path) -> None:
        done = subprocess.run(
            [Path(sys.executable).with_name("tagship"), *arguments, "--stage", self.stack.stage],
            env=self.stack.engine.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def configure(self) -> None:
        """Stores the example's configuration with this engine's addresses, and deploys the role that it needs."""
        document: dict[str, Any] = yaml.safe_load((HOME / "application.yaml").read_text())
        role = f"arn:aws:iam::{ACCOUNT}:role/tagship-app-{NAME}"
        document["target"] |= {
            "account": ACCOUNT,
            "region": REGION,
            "role": role,
            "externalId": f"tagship-{self.stack.stage}",
        }
        document |= {
            "strategy": {"type": "canary", "percent": 20, "bake": 0},
            "approval": {"approvers": ["ana@example.com"], "required": 1},
            "health": {
                "checks": [
                    {
                        "type": "http",
                        "url": f"{self.address}/",
                        "contains": "Tea, coffee",
                        "maxLatencyMs": 10_000,
                        "timeoutSeconds": 10,
                    }
                ]
            },
        }
        written = self.folder / "application.yaml"
        written.write_text(yaml.safe_dump(document, sort_keys=False))
        self.tagship("role", written, "--deploy", "--yes")
        self.tagship("apply", written, "--yes")

    def release(self, tag: str, files: dict[str, bytes]) -> dict[str, Any]:
        """Publishes a version and approves it; its record when it has ended."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        site = self.folder / "site.zip"
        site.write_bytes(packed.getvalue())
        commit = hashlib.sha1(tag.encode(), usedforsecurity=False).hexdigest()
        self.tagship(
            "publish",
            *("--application", NAME, "--tag", tag, "--artifact", f"site={site}", "--commit", commit),
            *("--repository", "acme/website", "--author", "dana@example.com", "--notes", ""),
        )

        def mail() -> Any:
            assert self.record(tag).get("status", "RUNNING") == "RUNNING", self.record(tag).get("why")
            return people.newest_to(self.stack.mails(), who="ana@example.com", application=NAME, tag=tag)

        people.decide(people.link_in(wait_for(mail, f"the mail about {tag}")), decision="approve")
        return wait_for(
            lambda: found if (found := self.record(tag))["status"] != "RUNNING" else None, f"the end of {tag}"
        )

    def record(self, tag: str) -> dict[str, Any]:
        """The release's record; empty if it has not been read yet."""
        key = {"pk": {"S": f"APPLICATION#{NAME}"}, "sk": {"S": f"RELEASE#{tag}"}}
        answer = self.stack.client("dynamodb").get_item(
            TableName=self.stack.outputs["LedgerTableName"], Key=key, ConsistentRead=True
        )
        return unpacked(answer["Item"]) if "Item" in answer else {}

    def visit(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """One request to the distribution."""
        connection = http.client.HTTPConnection("127.0.0.1", self.stack.engine.port)
        connection.request("GET", path, headers={"Host": self.domain, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}


@pytest.fixture
def website(stack: Stack, tmp_path: Path) -> Iterator[Website]:
    """The example's stack: a bucket, a distribution, and its function, which serves nothing yet."""
    if shutil.which("node", path=stack.engine.environment["PATH"]) is None:
        pytest.skip("Node.js is not on the engine's PATH: it runs CloudFront functions with it")
    template = (HOME / "template.yaml").read_text().replace("redirect-to-https", "allow-all")  # no TLS here
    cloudformation = stack.client("cloudformation")
    cloudformation.create_stack(StackName=NAME, TemplateBody=template)
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    domain = outputs(stack.engine, NAME)["Address"].split("/")[2]

    class Front(http.server.BaseHTTPRequestHandler):
        """The site's own name: hands each request to the distribution."""

        def do_GET(self) -> None:
            kept = ("User-Agent", "x-tagship-release")
            headers = {name: value for name in kept if (value := self.headers.get(name))}
            status, body, _ = site.visit(self.path, **headers)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front) as server:
        site = Website(
            stack=stack,
            domain=domain,
            address=f"http://127.0.0.1:{server.server_address[1]}",
            folder=tmp_path,
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield site
        server.shutdown()


def test_a_site_is_released_and_a_broken_one_is_rolled_back(website: Website) -> None:
    """Faults 36 and 105."""
    website.configure()
    assert website.visit("/")[0] == 503
    good = website.release("v1.0.0", GOOD)
    assert good["status"] == "SUCCEEDED", good.get("why")
    for path, file in (("/", "index.html"), ("/about/", "about/index.html"), ("/about", "about/index.html")):
        status, body, headers = website.visit(path)
        assert (status, body) == (200, GOOD[file])
        assert (headers["content-type"], headers["cache-control"]) == ("text/html; charset=utf-8", "no-cache")
    status, body, headers = website.visit("/assets/site-4f0c2a9e.css")
    assert (status, body) == (200, GOOD["assets/site-4f0c2a9e.css"])
    assert headers["cache-control"] == "public, max-age=31536000, immutable"

    broken = website.release("v1.1.0", BROKEN)
    assert broken["status"] == "ROLLED_BACK", broken.get("why")
    assert "1 address will no longer answer: about/index.html." in json.dumps(broken["plan"])
    seen = {website.visit("/", **{"User-Agent": f"browser {number}"})[1] for number in range(20)}
    assert seen == {GOOD["index.html"]}
    (candidate,) = [standing["candidate"]["id"] for standing in broken["standing"]]
    assert website.visit("/", **{"x-tagship-release": candidate})[0] == 404, "it serves nobody any longer"
