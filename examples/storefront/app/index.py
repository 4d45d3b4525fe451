"""A small shop window: one page that says its version, and a health check that answers truthfully.

v1.0.0, v1.1.0 and v1.2.0 are made from this one source; they differ in `version.py` alone. The broken one works until
customers come: then its health check says that it is broken, and every second answer is an error.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from version import BROKEN, VERSION

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Storefront {version}</title>
<style>
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; font: 1.1rem/1.6 system-ui, sans-serif;
       background: hsl({hue} 60% 96%); color: hsl({hue} 45% 18%) }}
main {{ text-align: center }}
h1 {{ font-size: 3rem; margin: 0 }}
code {{ background: hsl({hue} 45% 88%); padding: .2em .6em; border-radius: .4em }}
</style>
</head>
<body><main><h1>Storefront</h1><p>You are served by <code>{version}</code></p></main></body>
</html>
"""

_answered = itertools.count()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Tagship's check comes as an invocation of its own; everything else is a request to the Function URL."""
    if event.get("source") == "tagship" and event.get("check") == "health":
        percent = event.get("percent", 100)
        print(json.dumps({"check": "health", "percent": percent, "version": VERSION}))
        return health(percent)
    return serve(event.get("rawPath", "/"))


def health(percent: int = 100) -> dict[str, Any]:
    """What a release is judged by; `percent` is this version's share of the traffic, 0 while it has none."""
    if BROKEN and percent:
        return {"healthy": False, "version": VERSION, "reasons": ["the price list can't be read"]}
    return {"healthy": True, "version": VERSION}


def serve(path: str) -> dict[str, Any]:
    """The page, or how it is."""
    print(json.dumps({"path": path, "version": VERSION}))
    if path == "/health":
        return answer(503 if BROKEN else 200, json.dumps(health()), "application/json")
    if path != "/":
        return answer(404, "There is no such page.", "text/plain; charset=utf-8")
    if BROKEN and next(_answered) % 2:
        return answer(500, "The price list can't be read.", "text/plain; charset=utf-8")
    return answer(
        200, PAGE.format(version=VERSION, hue=sum(VERSION.encode()) * 37 % 360), "text/html; charset=utf-8"
    )


def answer(status: int, body: str, content_type: str) -> dict[str, Any]:
    """As a Function URL wants it."""
    return {
        "statusCode": status,
        "headers": {
            "content-type": content_type,
            "x-storefront-version": VERSION,
            "cache-control": "no-store",
        },
        "body": body,
    }
