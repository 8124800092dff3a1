"""A protocol on standard input and output, for a program that a mail server runs as its child.

    child = Child(OpenSMTPDCodec(), LineClient(endpoint, report))
    child.run()                             # until standard input ends

What the mail server asks goes to check_user's ``line`` door (``client``), so that this process has
no database, little memory and nothing to configure. It decides nothing, and it goes on whatever
becomes of check_user.

One thread, one poll(2), and no event loop, for two reasons: smtpd gives its filter one and the same
socket as standard input and as output, which asyncio's pipes take for a peer that has gone; and
asyncio would double the memory. Nothing blocks: a descriptor is touched only when poll says so, and
not more than PIPE_BUF octets are written at a time, for which there is room then (pipe(7)). So the
descriptors keep their flags, which others may share.

Limit: with more than UNREAD octets of answers that the mail server doesn't read, it isn't read from
either; what it asks meanwhile waits in the kernel. The answers to what it had asked before, at most
``client.AHEAD``, may come on top.
"""

from __future__ import annotations

import math
import os
import select
import signal

from check_user.protocols import Codec, Lookup, Mark, Output
from check_user.servers.client import LineClient

UNREAD = 65536
"""Octets."""

READ_SIZE = 65536

STDIN, STDOUT, STDERR = 0, 1, 2


class Child:
    """Speaks ``codec`` with the process that started us, and asks ``client``."""

    def __init__(self, codec: Codec, client: LineClient) -> None:
        """Begin with nothing read."""
        self._codec = codec
        self._client = client
        self._out = b""

    def run(self) -> None:
        """Serve until standard input ends, or nobody reads the answers."""
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Wait for something to do, and do it; tell whether to go on."""
        ready = self._wait()
        try:
            if STDIN in ready and not self._read():
                return False
            if STDOUT in ready:
                self._out = self._out[os.write(STDOUT, self._out[: select.PIPE_BUF]) :]
        except BlockingIOError:  # poll was too hopeful, and somebody has made them non-blocking
            return True
        except (BrokenPipeError, ConnectionResetError):  # the mail server has gone
            return False
        self._ask_on()
        return True

    def _wait(self) -> set[int]:
        """Give those descriptors about which poll(2) has something to say."""
        poller = select.poll()
        if len(self._out) <= UNREAD:
            poller.register(STDIN, select.POLLIN)
        if self._out:
            poller.register(STDOUT, select.POLLOUT)
        if interest := self._client.interest():
            poller.register(*interest)
        patience = self._client.patience()
        return {
            fd for fd, _ in poller.poll(None if patience is None else math.ceil(patience * 1000))
        }

    def _read(self) -> bool:
        """Read once, and pass on what is asked; tell whether there may be more."""
        self._codec.feed(os.read(STDIN, READ_SIZE))
        while not isinstance(event := self._codec.next_event(), Mark):
            if isinstance(event, Lookup):
                self._client.ask(event)
            elif isinstance(event, Output):
                self._out += event.data
        return event is not Mark.CLOSE

    def _ask_on(self) -> None:
        """Let the client work, and take its verdicts."""
        try:
            settled = self._client.step()
        except Exception as error:  # noqa: BLE001 - a door to the outside: every failure is DENYSOFT
            self._client.give_up(f"{type(error).__name__}: {error}")
            settled = []
        self._out += b"".join(self._codec.answer(*each) for each in settled)


def keep_running() -> None:
    """Ignore the signals that ask a process to end: only the end of standard input ends a child.

    OpenSMTPD ends when a filter does, so nobody but smtpd may end one. SIGPIPE is Python's own.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def report(text: str) -> None:
    """Write a line on standard error, which smtpd logs; nothing if it can't be written now."""
    poller = select.poll()
    poller.register(STDERR, select.POLLOUT)
    if poller.poll(0):
        try:
            os.write(STDERR, f"{text}\n".encode("ascii", "backslashreplace")[: select.PIPE_BUF])
        except OSError:  # nobody reads it
            return
