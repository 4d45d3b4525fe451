"""GitHub sees one deployment for an attempt, with each state once, whatever is tried again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tagship.broadcast import github
from tagship.web import NotDelivered
from tests.unit.broadcast.test_notice import RECORD, told

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeGitHub:
    """Deployments, their statuses and commit statuses, under GitHub's paths."""

    deployments: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)
    down: bool = False
    api: str = ""

    def answer(self, method: str, path: str, token: str, data: Any) -> tuple[int, Any]:
        if self.down:
            return 503, {"message": "down"}
        if token != "Bearer right":
            return 401, {"message": "Bad credentials"}
        parts = urlsplit(path)
        assert parts.path.startswith("/repos/acme/storefront/")
        match [method, *parts.path.removeprefix("/repos/acme/storefront/").split("/")]:
            case ["GET", "deployments"]:
                asked = {name: value[0] for name, value in parse_qs(parts.query).items()}
                return 200, [
                    it
                    for it in self.deployments
                    if (it["sha"], it["environment"]) == (asked["sha"], asked["environment"])
                ]
            case ["POST", "deployments"]:
                assert data["required_contexts"] == []
                assert data["auto_merge"] is False
                made = {**data, "id": len(self.deployments) + 1, "sha": data["ref"]}
                self.deployments.append(made)
                self.statuses[made["id"]] = []
                return 201, made
            case ["GET", "deployments", number, "statuses"]:
                return 200, self.statuses[int(number)]
            case ["POST", "deployments", number, "statuses"]:
                assert len(data["description"]) <= 140
                self.statuses[int(number)].insert(0, data)
                return 201, data
            case ["POST", "statuses", commit]:
                assert data["state"] in ("error", "failure", "pending", "success")
                self.commits.append({**data, "commit": commit})
                return 201, data
        return 404, {"message": "Not Found"}


@pytest.fixture
def there() -> Iterator[FakeGitHub]:
    fake = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = fake.answer(
                self.command, self.path, self.headers["Authorization"], json.loads(body) if body else None
            )
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.api = f"http://127.0.0.1:{server.server_port}"
    yield fake
    server.shutdown()
    server.server_close()


def tell(
    there: FakeGitHub, name: str, data: dict[str, Any] | None = None, *, token: str = "right", **changes: Any
) -> None:
    notice = told(name, data or {}, **changes)
    github.tell(
        notice,
        commit=COMMIT,
        repository=github.Repository(name="acme/storefront", token=token, api=there.api),
    )


def test_a_release_is_one_deployment_with_its_states(there):
    tell(there, "Release Read", {"commit": COMMIT, "author": "dana"})
    tell(there, "Deployment Started", {"steps": [{"percent": 100}], "deadline": "2026-11-23T10:20:00.000Z"})
    tell(
        there,
        "Release Succeeded",
        {"readAt": "2026-11-23T09:48:00.000Z"},
        record=RECORD | {"status": "SUCCEEDED"},
    )
    (deployment,) = there.deployments
    assert (deployment["environment"], deployment["production_environment"]) == ("production", True)
    assert [it["state"] for it in there.statuses[1]] == ["success", "in_progress", "pending"]
    assert there.statuses[1][0]["log_url"].startswith("https://us-east-1.console.aws.amazon.com/")
    assert [(it["state"], it["context"], it["commit"]) for it in there.commits] == [
        (state, "tagship/production/storefront", COMMIT) for state in ("pending", "pending", "success")
    ]


def test_what_is_told_twice_is_there_once(there):
    for _ in range(2):
        tell(there, "Release Succeeded", {"readAt": "2026-11-23T09:48:00.000Z"})
    assert len(there.deployments) == 1
    assert len(there.statuses[1]) == 1


def test_another_attempt_is_another_deployment(there):
    tell(there, "Release Invalid", {"why": "x"}, attempt=1)
    tell(there, "Release Succeeded", {}, attempt=2)
    assert len(there.deployments) == 2


@pytest.mark.parametrize(
    "name, deployment, commit",
    [
        ("Release Invalid", "failure", "failure"),
        ("Release Superseded", "inactive", "failure"),
        ("Release Rolled Back", "failure", "failure"),
        ("Rollback Failed", "error", "error"),
        ("Release Aborted", "error", "error"),
    ],
)
def test_each_ending_has_its_state(there, name, deployment, commit):
    tell(there, name, {"why": "x"})
    assert (there.statuses[1][0]["state"], there.commits[0]["state"]) == (deployment, commit)


def test_what_github_refuses_is_told_without_the_token(there):
    with pytest.raises(
        NotDelivered, match="GitHub answered 401 for acme/storefront: Bad credentials"
    ) as raised:
        tell(there, "Release Succeeded", token="wrong-token")
    assert "wrong-token" not in str(raised.value)
    there.down = True
    with pytest.raises(NotDelivered, match="503"):
        tell(there, "Release Succeeded")
