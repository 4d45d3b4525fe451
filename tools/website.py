"""The sample site of examples/static-site on the embedded engine: installed, configured, and published tag by tag.

Visitors reach it through the engine's CloudFront, which runs the site's function in Node.js.
"""

from __future__ import annotations

import http.client
import http.server
import io
import re
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.stack import ROOT, Engine, outputs
from tools.team import Team
from tools.traffic import Answer

HOME = ROOT / "examples" / "static-site"
NAME = "website"
PAGES: Mapping[str, bytes] = {
    str(path.relative_to(HOME / "site")): path.read_bytes()
    for path in sorted((HOME / "site").rglob("*"))
    if path.is_file()
}
"""The site's files, by their paths."""
HEADLINE = "Tea, coffee"
"""What every good version of the page shows."""
_RELEASE = re.compile(r'<meta name="release" content="([^"]*)">')


@dataclass(frozen=True, slots=True, kw_only=True)
class Website:
    """The site as its team and its visitors see it."""

    engine: Engine
    stage: str
    domain: str
    name: str = NAME
    front: http.server.ThreadingHTTPServer = field(repr=False)
    """Answers under the site's own name: the engine's distributions have none that every machine resolves."""

    @classmethod
    def install(cls, engine: Engine, *, stage: str, **_: object) -> Website:
        """Creates the example's stack: a bucket, a distribution, and its function, which serves nothing yet."""
        cloudformation = engine.client("cloudformation")
        template = (HOME / "template.yaml").read_text()
        cloudformation.create_stack(  # there is no TLS here
            StackName=NAME, TemplateBody=template.replace("redirect-to-https", "allow-all")
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        domain = outputs(engine, NAME)["Address"].split("/")[2]
        return cls(engine=engine, stage=stage, domain=domain, front=_front(engine.port, domain))

    @property
    def url(self) -> str:
        """Where the site is, as health checks ask for it."""
        return f"http://127.0.0.1:{self.front.server_address[1]}"

    def close(self) -> None:
        """Nothing answers under the site's own name any longer."""
        self.front.shutdown()
        self.front.server_close()

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Stores its application.yaml with this engine's addresses, and deploys the role that it needs."""
        document = self._team.document()
        # one small machine does all the work here, so an answer may take its time
        check = {"contains": HEADLINE, "maxLatencyMs": 10_000, "timeoutSeconds": 10}
        document["health"] = {"checks": [{"type": "http", "url": f"{self.url}/", **check}]}
        return self._team.configure(document, changes)

    def publish(self, tag: str, *, broken: bool = False, notes: str = "") -> None:
        """Packs a version and publishes it."""
        site = self._team.folder / "site.zip"
        site.write_bytes(pack(tag, broken=broken))
        self._team.publish(tag, artifact="site", file=site, notes=notes)

    def standing(self) -> str:
        """Which release a visitor gets, in words."""
        status, body, _ = self.visit("/")
        return release_in(body) if status == 200 else "nothing"

    def ask(self, number: int) -> Answer:
        """One visitor's request for the page; each has another browser, by which the function gives them a release."""
        status, body, _ = self.visit("/", **{"User-Agent": f"browser {number}"})
        return Answer(release_in(body), status)

    def visit(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """One request to the distribution: status, body, and headers with names in lower case."""
        return _visited(self.engine.port, self.domain, path, headers)

    @property
    def _team(self) -> Team:
        return Team(engine=self.engine, stage=self.stage, application=NAME, home=HOME)


def pack(tag: str, *, broken: bool = False) -> bytes:
    """The zip of a version, which says on its first page which one it is; a broken one lost its content and a page."""
    marker = f'<meta name="release" content="{tag}">'.encode()
    files = dict(PAGES)
    files["index.html"] = files["index.html"].replace(b"</head>", b"  " + marker + b"\n  </head>")
    if broken:
        del files["about/index.html"]
        files["index.html"] = b"<!doctype html><title>Error</title>" + marker
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return packed.getvalue()


def release_in(page: bytes) -> str:
    """Which version a page is; empty where it does not say."""
    found = _RELEASE.search(page.decode(errors="replace"))
    return found[1] if found else ""


def _visited(
    port: int, domain: str, path: str, headers: Mapping[str, str]
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": domain, **headers})
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, answer.read(), named
    finally:
        connection.close()


def _front(port: int, domain: str) -> http.server.ThreadingHTTPServer:
    """A server that hands each request to the distribution."""

    class Front(http.server.BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self) -> None:
            kept = ("User-Agent", "x-tagship-release")
            headers = {name: value for name in kept if (value := self.headers.get(name))}
            status, body, _ = _visited(port, domain, self.path, headers)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
