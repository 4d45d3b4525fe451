"""How much memory a process has had, as Linux counts it."""

from __future__ import annotations

from pathlib import Path


def peak_of(process: int | str) -> float:
    """MiB at its highest, since its program was started (getrusage would tell its parent's, where that had more)."""
    status = Path(f"/proc/{process}/status").read_text()
    (kibibytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kibibytes) / 1024


def children_of(process: int) -> list[int]:
    """The processes that it started and that still run."""
    threads = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
