"""``check-user opensmtpd`` as smtpd runs it: one socket is its standard input and its output."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from types import TracebackType

COMMAND = [sys.executable, "-m", "check_user", "opensmtpd"]
HANDSHAKE = b"config|smtpd-version|7.8.0\nconfig|protocol|0.7\nconfig|ready\n"
REGISTRATION = [b"register|filter|smtp-in|rcpt-to", b"register|ready"]
LIMIT = 10.0
"""Seconds to wait for a line; a test that waits for less measures."""


class Filter:
    """A filter that has registered. ``door`` is the address of its ``line`` door.

    ``pipes``: two pipes in place of the one socket; ``stderr`` is where its log goes.
    """

    def __init__(self, door: str, *, pipes: bool = False, stderr: int = subprocess.PIPE) -> None:
        ours: tuple[int, int]
        if pipes:
            theirs_in, to = os.pipe()
            back, theirs_out = os.pipe()
            ours, theirs = (back, to), (theirs_in, theirs_out)
        else:
            one, other = socket.socketpair()
            ours = (one.fileno(), os.dup(one.detach()))
            theirs = (other.fileno(), os.dup(other.detach()))
        self._in, self._out = ours
        self.process = subprocess.Popen(
            [*COMMAND, door], stdin=theirs[0], stdout=theirs[1], stderr=stderr
        )
        for fd in theirs:
            os.close(fd)
        self._read = b""
        self.send(HANDSHAKE)
        assert [self.line(), self.line()] == REGISTRATION

    def __enter__(self) -> Filter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()

    def send(self, data: bytes) -> None:
        """Write all of it; a filter that doesn't read makes this wait."""
        while data:
            data = data[os.write(self._out, data) :]

    def ask(self, *addresses: str, first: int = 1) -> None:
        """Ask about addresses, the tokens counted from ``first``."""
        for token, address in enumerate(addresses, first):
            self.send(f"filter|0.7|1.0|smtp-in|rcpt-to|a1|{token:x}|{address}\n".encode())

    def line(self, limit: float = LIMIT) -> bytes:
        """The next line, without its end. Raises TimeoutError, EOFError."""
        return self.lines(1, limit)[0]

    def lines(self, count: int, limit: float = LIMIT) -> list[bytes]:
        """The next lines. Raises TimeoutError, EOFError."""
        end = time.monotonic() + limit
        while self._read.count(b"\n") < count:
            if not select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError
            data = os.read(self._in, 1 << 20)
            if not data:
                raise EOFError
            self._read += data
        *found, self._read = self._read.split(b"\n", count)
        return found

    def verdict(self, address: str) -> str:
        """The decision about an address, alone."""
        self.ask(address)
        name, _, decision = self.line().decode().removeprefix("filter-result|").partition("|1|")
        assert name == "a1"
        return decision

    def silent(self) -> bool:
        """Whether nothing has been said that wasn't read."""
        return not self._read and not select.select([self._in], [], [], 0)[0]

    def leave(self) -> None:
        """Close our ends, as smtpd does when it ends."""
        for fd in (self._in, self._out):
            if fd >= 0:
                os.close(fd)
        self._in = self._out = -1

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def log(self) -> list[str]:
        """Let it end, and give what it has written to standard error."""
        self.leave()
        assert self.process.stderr is not None
        text = self.process.stderr.read().decode()
        assert self.process.wait(LIMIT) == 0
        return text.splitlines()
