"""The allowed hosts: the stack names them; the local machine counts only in development."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Hosts for which http is enough: the request does not leave this machine."""
_UNSAFE = re.compile(r"[^!-~]")


def address_problem(url: str, hosts: Sequence[str] | None, *, setting: str, loopback: bool = True) -> str:
    """What is wrong with an address; empty if nothing. `setting` is the stack's parameter with the allowed hosts.

    Without hosts, any host is allowed. `loopback` says whether this machine's own address is allowed too.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is not an address"
    if _UNSAFE.search(url) or not host or "@" in parts.netloc or parts.query or parts.fragment:
        return "is not an address"
    if host in LOOPBACK and not loopback:
        return "is this machine's own address, which is allowed only in development"
    if hosts is not None and host not in hosts:
        return f"is not on a host that the stack allows ({setting})"
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        return "is not https"
    return ""
