"""Parses a Function URL's event, in one place."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from tagship.approval.page.page import PageRequest
from tagship.model.errors import EventNotUnderstood


def request_in(event: object) -> PageRequest:
    """The request in Lambda's event. Parts that are not text are treated as missing.

    Raises EventNotUnderstood for an invalid event: only someone with permission to invoke the function can send that.
    """
    found = _mapping(event)
    http = _mapping(_mapping(found.get("requestContext")).get("http"))
    method, path = http.get("method"), found.get("rawPath")
    if not isinstance(method, str) or not isinstance(path, str):
        raise EventNotUnderstood("This event is not a request to a function URL: it has no method or path.")
    headers = _texts(found.get("headers"))
    return PageRequest(
        method=method,
        path=path,
        query=_text(found.get("rawQueryString")),
        headers=headers,
        body=_body(found),
        source_ip=_text(http.get("sourceIp")),
        cookies=_cookies(found, headers),
    )


def _body(event: Mapping[str, object]) -> bytes:
    """Empty if it cannot be decoded: then it is not a form, and decides nothing."""
    body = _text(event.get("body"))
    if event.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        return b""


def _cookies(event: Mapping[str, object], headers: Mapping[str, str]) -> dict[str, str]:
    """The browser's cookies: AWS puts them into a separate list, other servers leave them in the header."""
    given = event.get("cookies")
    pairs = given if isinstance(given, list) and given else headers.get("cookie", "").split(";")
    parts = (pair.partition("=") for pair in pairs if isinstance(pair, str))
    return {name.strip(): value.strip() for name, _, value in parts}


def _texts(value: object) -> dict[str, str]:
    return {name: text for name, text in _mapping(value).items() if isinstance(text, str)}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
