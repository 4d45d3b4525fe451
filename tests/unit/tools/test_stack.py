"""Ctrl-C while the engine starts or the SAM CLI works: whatever was started ends, and a build that was stopped is none."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools import demo, stack

SECONDS = 20


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake engine environment, with programs that write down who they are, and then wait."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(stack, "ENGINE_BIN", folder)
    return folder


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture(autouse=True)
def _can_be_stopped() -> Iterator[None]:
    """A shell that runs the tests in the background makes them ignore SIGINT, and Python keeps that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def written(path: Path) -> int:
    return int(path.read_text()) if path.exists() and path.read_text().strip() else 0


def alive(pid: int) -> bool:
    """Running, and not a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def ctrl_c_when_there_is(path: Path) -> None:
    def look() -> None:
        if within(SECONDS, lambda: written(path) > 0):
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=look, daemon=True).start()


def test_processes_started_by_the_sam_cli_end_with_it(programs: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    program(programs / "sam", f"sleep 600 & echo $! >{child}; wait")
    ctrl_c_when_there_is(child)
    with pytest.raises(KeyboardInterrupt):
        stack.sam("build")
    assert within(SECONDS, lambda: not alive(written(child)))


def test_an_engine_that_is_not_registered_yet_ends(programs: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program(programs / "python", f"echo $$ >{pid}; exec sleep 600")
    ctrl_c_when_there_is(pid)
    with pytest.raises(KeyboardInterrupt):
        stack.Engine.start(tmp_path / "engine", stay=True)
    assert within(SECONDS, lambda: not alive(written(pid)))
    assert stack.Engine.running(tmp_path / "engine") is None


@pytest.mark.parametrize("stay", [False, True])
def test_an_engine_that_stays_outlives_the_program(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stay: bool
) -> None:
    at_exit: list[object] = []
    program(programs / "python", "exec sleep 600")
    monkeypatch.setattr(stack.Engine, "_wait_until_ready", lambda self: None)
    monkeypatch.setattr(stack.atexit, "register", at_exit.append)
    engine = stack.Engine.start(tmp_path / "engine", stay=stay)
    assert at_exit == ([] if stay else [engine.stop])
    engine.stop()


def test_an_interrupted_build_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = tmp_path / "build"
    build.mkdir()
    (build / "template.yaml").touch()
    for name, path in (("STATE", tmp_path), ("BUILD", build), ("_STAMP", tmp_path / "sources")):
        monkeypatch.setattr(stack, name, path)
    monkeypatch.setattr(stack, "_fingerprint", lambda: "new")
    (tmp_path / "sources").write_text("old")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stack, "sam", stopped)
    with pytest.raises(KeyboardInterrupt):
        stack.build()
    monkeypatch.setattr(stack, "_fingerprint", lambda: "old")  # the change was taken back meanwhile
    assert not stack.is_built()


@pytest.mark.parametrize("keep", [False, True])
def test_an_interrupted_demo_leaves_nothing_behind(
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    keep: bool,
) -> None:
    folder, pid = tmp_path / "engine", tmp_path / "pid"
    program(programs / "python", f"echo $$ >{pid}; exec sleep 600")
    monkeypatch.setattr(demo, "is_built", lambda: True)
    monkeypatch.setattr(demo, "STAYING", folder)
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: os.fspath(folder))
    ctrl_c_when_there_is(pid)
    assert demo.run(keep=keep) == 130
    assert within(SECONDS, lambda: not alive(written(pid)) and not folder.exists())
    shown = capsys.readouterr()
    assert "Everything is already built" in shown.out
    assert "Nothing is left running." in shown.err
