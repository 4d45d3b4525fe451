"""The peak memory of a process, as Linux counts it."""

from __future__ import annotations

from pathlib import Path


def peak_of(process: int | str) -> float:
    """The highest use in MiB since its program was started (getrusage would include its parent's)."""
    status = Path(f"/proc/{process}/status").read_text()
    (kibibytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kibibytes) / 1024


def children_of(process: int) -> list[int]:
    """The running processes that it started."""
    threads = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
