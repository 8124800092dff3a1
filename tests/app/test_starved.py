"""The service while others take the processors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.app.serving import Line, Serving, configure


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Processes that do nothing but take time."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@pytest.mark.fault("OS04")
def test_a_starved_service_keeps_its_promise(tmp_path: Path) -> None:
    """With the lowest priority beside busy loops every answer comes within 3 s, and none is wrong:
    what can't be told in time is told to come again."""
    file = configure(tmp_path, f"line unix:{tmp_path}/line.sock")
    with Serving(tmp_path, file) as serving, Line(tmp_path / "line.sock") as line:
        os.setpriority(os.PRIO_PROCESS, serving.process.pid, 19)
        with busy(2 * (os.cpu_count() or 1)):
            for _ in range(20):
                for asked, right in (("anna@", "DECLINED known"), ("nobody@", "DENY Address")):
                    begin = time.monotonic()
                    answer = line.ask(f"{asked}example.org")
                    assert time.monotonic() - begin <= 3.0
                    assert answer.startswith((right, "DENYSOFT ")), answer
