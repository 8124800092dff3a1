"""A server as a process of the test: started, frozen, killed and ended by its pid.

Each runs in a session of its own, with a folder and a log file, and is ready only when it answers
(:meth:`Server.answers`): a port that accepts is too early. Signals go to the main process and to
its descendants, read from ``/proc/*/stat`` (proc(5)) before the main process ends, since whoever
loses its parent can't be found again. Nothing is ever ended by name.

Linux only. Every call blocks for milliseconds (starting: up to a second, :data:`START_LIMIT` at
the most), so a test may make it from the event loop in which it waits for answers.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

START_LIMIT = 20.0
"""Seconds until a server must answer. The slowest here needs two, on an idle machine."""

STOP_LIMIT = 10.0
"""Seconds that a server has to end by itself before it is killed."""

STEP = 0.01
"""Seconds between two looks at a process."""


class MissingProgramError(Exception):
    """A program that the tests run is not installed; the message names the Debian package."""


class NotReadyError(Exception):
    """A server ended or gave no answer in time; the message holds the end of its log."""


def program(name: str, package: str, *folders: str) -> str:
    """Give the path of ``name``, from PATH or ``folders``. Raises MissingProgramError."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
    if path is None:
        raise MissingProgramError(
            f"{name} is not installed: apt-get install {package} (or run tests/peers/debian.sh)"
        )
    return path


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free, below the ephemeral range.

    ``bind(0)`` would give one that any outgoing connection may take before the server does.
    """
    while True:
        port = random.randrange(20000, 32768)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def stat(pid: int) -> tuple[str, int]:
    """State letter and parent of a process, ``("X", 0)`` when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    state, parent = text.rpartition(")")[2].split()[:2]  # the name before it may hold anything
    return state, int(parent)


def descendants(pid: int) -> list[int]:
    """The children of ``pid``, their children and so on, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(stat(int(entry.name))[1], []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, []))
    return found[1:]


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie doesn't)."""
    return stat(pid)[0] not in "XZ"


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone meanwhile is none to complain about."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(condition: Callable[[], bool], limit: float) -> bool:
    """Look at ``condition`` until it holds (True) or ``limit`` seconds are over (False)."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(STEP)
    return True


class Server(ABC):
    """A server in a folder of its own; ``start()`` and ``stop()`` may follow each other.

    ``folder`` holds its files and ``log``, to which both output streams are appended. ``owner`` is
    the account that runs it where the tests run as root (None: whoever runs the tests).
    """

    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, *, owner: str | None = None) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.owner = owner if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[int] = []

    @abstractmethod
    def command(self) -> list[str]:
        """The command line; its process must stay in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server does its work now. Must not take longer than a second."""

    def environment(self) -> Mapping[str, str]:
        """The environment of the process."""
        return os.environ

    @property
    def pid(self) -> int:
        """The main process."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the main process lives, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether it was stopped by :meth:`freeze` and not continued since."""
        return bool(self._frozen)

    def launch(self) -> None:
        """Start the process without waiting for its answer."""
        assert not self.running, "already running"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.owner,
                group=self.owner,
                extra_groups=None if self.owner is None else [],
            )

    def start(self) -> None:
        """Start and wait for the first answer. Raises NotReadyError."""
        self.launch()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it answers. Raises NotReadyError when it ended or the limit is over."""
        if not wait_until(lambda: not self.running or self.answers(), START_LIMIT):
            self.kill()
            raise NotReadyError(
                f"{self.command()[0]}: no answer in {START_LIMIT} s\n{self.log_end()}"
            )
        if not self.running:
            raise NotReadyError(f"{self.command()[0]}: exit {self.wait()}\n{self.log_end()}")

    def wait(self, limit: float = STOP_LIMIT) -> int:
        """Wait for the main process to end by itself and give its exit status."""
        assert self._process is not None, "not started"
        return self._process.wait(limit)

    def log_end(self) -> str:
        """The last lines of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def freeze(self) -> None:
        """Stop the main process and all descendants: ports accept, and nobody answers."""
        send(self.pid, signal.SIGSTOP)
        wait_until(lambda: stat(self.pid)[0] in "TXZ", STOP_LIMIT)
        self._frozen = [self.pid, *descendants(self.pid)]
        for pid in self._frozen:
            send(pid, signal.SIGSTOP)
        wait_until(lambda: all(stat(pid)[0] in "TXZ" for pid in self._frozen), STOP_LIMIT)

    def thaw(self) -> None:
        """Let those go on that :meth:`freeze` stopped."""
        for pid in self._frozen:
            send(pid, signal.SIGCONT)
        self._frozen = []

    def kill(self) -> None:
        """End everything at once, as a crash does."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and end by force whatever is left."""
        if self._process is not None:
            self.thaw()
            self._end(self.stop_signal)

    def restart(self) -> None:
        """Stop (what is left of it) and start."""
        self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        family = descendants(self.pid)
        if self.running:
            send(self.pid, number)
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            send(self.pid, signal.SIGKILL)
            self._process.wait()
        for pid in family:
            if alive(pid):
                send(pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in family), STOP_LIMIT)
        self._frozen = []
