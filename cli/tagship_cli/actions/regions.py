"""Compares regions with those that botocore knows, offline."""

from __future__ import annotations

import difflib
from functools import cache


@cache
def known() -> frozenset[str]:
    """Every region of every partition, as of the installed version of botocore."""
    from botocore.loaders import Loader

    partitions = Loader().load_data("partitions")["partitions"]
    return frozenset(region for partition in partitions for region in partition["regions"])


def meant(region: str) -> str:
    """`; did you mean us-east-1?` if a known region is similar; otherwise empty."""
    swapped = [each for each in sorted(known()) if sorted(each) == sorted(region)]
    near = swapped or difflib.get_close_matches(region, sorted(known()), n=1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""


def warning(region: str) -> str:
    """What to know about a region that has a region's form; empty if botocore knows it.

    It is no error, because AWS adds regions: this version would refuse each one until somebody upgrades it.
    """
    if region in known():
        return ""
    return f"{region} is not in this version's list of AWS regions{meant(region)}"
