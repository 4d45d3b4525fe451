"""An approver's browser that follows redirects and keeps cookies, all visible to the test."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tagship.approval.page.answers import PageResponse
from tagship.approval.signin.login import Login
from tagship.approval.signin.provider import Provider
from tests.unit.approval.builders import ANA, NOW, Browser, Site, number_on, site
from tests.unit.approval.oidc import CLIENT, LocalProvider

ADDRESS = "https://approvals.example.com"


@dataclass
class MemoryLedger:
    """As much of a ledger as sessions need."""

    items: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    facts: list[Any] = field(default_factory=list)

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        return self.items.get((pk, sk))

    def put(self, item: dict[str, Any], *, only_if: str) -> dict[str, Any]:
        assert only_if == "attribute_not_exists(pk)"
        return item

    def record(self, fact: Any, *changes: dict[str, Any]) -> bool:
        if any(known.key == fact.key and known.name == fact.name for known in self.facts):
            return False
        self.facts.append(fact)
        self.items |= {(item["pk"], item["sk"]): item for item in changes}
        return True


def signing_site(provider: LocalProvider, **changes: Any) -> Site:
    """A site with one sample approval, that asks people to sign in."""
    here = site(**changes)
    here.base_url = ADDRESS
    provider.now = lambda: here.now
    here.login = Login(
        provider=Provider(issuer=provider.issuer, client_id=CLIENT, loopback=True),
        ledger=MemoryLedger(),  # type: ignore[arg-type]
        address=ADDRESS,
    )
    return here


@dataclass
class Person(Browser):
    """One approver with cookies."""

    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, query: str, method: str = "GET") -> PageResponse:
        """One request to the page, whose cookies are kept."""
        return self.kept(self.site.request(method, path=path, query=query, cookies=self.cookies))

    def kept(self, page: PageResponse) -> PageResponse:
        for cookie in page.cookies:
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in cookie:
                del self.cookies[name]
        return page

    def look(self, method: str = "GET") -> PageResponse:
        """Opens the link."""
        return self.get(f"/approvals/{self.site.record['id']}", f"t={self.token}", method)

    def at_provider(self, page: PageResponse) -> str:
        """Goes where the page sends it; answers with where the provider sends it back to."""
        assert page.status == 303
        return follow(page.headers["Location"])

    def back(self, where: str) -> PageResponse:
        """Comes back from the provider."""
        assert where.startswith(f"{ADDRESS}/approvals/callback?")
        return self.get("/approvals/callback", urlsplit(where).query)

    def sign_in(self) -> PageResponse:
        """The whole way: link, provider, callback."""
        return self.back(self.at_provider(self.look()))

    def open(self, method: str = "GET") -> PageResponse:
        page = self.look(method)
        if page.status == 303 and method == "GET":
            page = self.sign_in()
            if page.status == 303:
                page = self.look()
        self.form = page.body.partition('name="form" value="')[2][:64]
        self.number = number_on(page.body) if self.form else ""
        return page

    def post(self, body: bytes, *, headers: Any = None) -> PageResponse:
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.kept(
            self.site.request("POST", query=f"t={self.token}", headers=sent, body=body, cookies=self.cookies)
        )


def follow(where: str) -> str:
    """A browser's GET to another site, that is sent on."""
    parts = urlsplit(where)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=5)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 302
    return str(answer.headers["Location"])


__all__ = ["ADDRESS", "ANA", "NOW", "MemoryLedger", "Person", "follow", "signing_site"]
