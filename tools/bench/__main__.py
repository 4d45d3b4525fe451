"""`make bench`: everything is measured in one run on the embedded engine, and printed as one table.

    make bench [ARGS="--runs 5 --part releases --part functions --part gate --part health --part ledger
                      --part notices --part applications --part site --part stack --part service"]

The table shows the aims, and nothing fails when one is missed: 0 when everything was measured, 1 when not.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tools.bench import (
    applications,
    floor,
    functions,
    gate,
    health,
    ledger,
    notices,
    resources,
    rounds,
    service,
    site,
)
from tools.bench.releases import Releasing
from tools.bench.table import Part, say, written
from tools.stack import Engine, LocalError, build, deploy

STAGE = "production"
RUNS = 5
PARTS = (
    "releases",
    "functions",
    "gate",
    "health",
    "ledger",
    "notices",
    "applications",
    "site",
    "stack",
    "service",
    "floor",
)


def run(parts: Sequence[str], *, runs: int) -> int:
    """Measures the parts, and prints the table.

    Raises LocalError when something can't be measured.
    """
    say("building the stack with the SAM CLI (about half a minute when something has changed)")
    build()
    engine = Engine.start(Path(tempfile.mkdtemp(prefix="tagship-bench-")))
    try:
        say("deploying it on the embedded engine")
        stack = deploy(engine, stage=STAGE)
        how: Mapping[str, Callable[[], list[Part]]] = {
            "releases": lambda: rounds.measure(
                Releasing.prepared(engine, stage=STAGE, stack=stack), runs=runs
            ),
            "functions": lambda: functions.measure(
                engine, f"tagship-{STAGE}", bucket=stack["ReleaseBucketName"], runs=runs
            ),
            "gate": lambda: gate.measure(engine, stack["ReleaseBucketName"], runs=runs),
            "health": lambda: health.measure(runs=runs),
            "ledger": lambda: ledger.measure(engine, STAGE, runs=runs),
            "notices": lambda: notices.measure(engine, STAGE, stack, runs=runs),
            "applications": applications.measure,
            "site": lambda: site.measure(engine, stack["ReleaseBucketName"], runs=runs),
            "stack": lambda: resources.measure(engine, stack["ReleaseBucketName"], runs=runs),
            "service": lambda: service.measure(engine, stack["ReleaseBucketName"], runs=runs),
            "floor": lambda: floor.measure(engine, runs=runs),
        }
        before = os.getloadavg()[0]
        measured = [part for name in how if name in parts for part in how[name]()]
        print(_machine(before))
        print(written(measured))
    finally:
        engine.stop()
    return 0


def _machine(load: float) -> str:
    return (
        f"Python {platform.python_version()} on {os.cpu_count()} CPUs ({platform.machine()}); "
        f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    )


def main() -> int:
    """As `make bench` runs it."""
    parser = argparse.ArgumentParser(
        prog="make bench", description="How long a release takes on this machine."
    )
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how often each thing is done ({RUNS})")
    parser.add_argument(
        "--part",
        action="append",
        choices=PARTS,
        help="only this; may be repeated",
    )
    options = parser.parse_args()
    try:
        return run(options.part or PARTS, runs=max(1, options.runs))
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
