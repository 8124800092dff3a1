"""A client of the ``line`` door, for a process that has no event loop and must never wait.

    client = LineClient(parse_endpoint("unix:/run/check_user/line.sock"), report)
    client.ask(lookup)                      # as often as there are questions
    ...                                     # poll(2) on client.interest(), up to client.patience()
    for lookup, verdict in client.step():   # then this, whatever poll said
        ...

Every question gets one verdict, by our own monotonic clock: FAULT when LIMIT is over, and also when
DELIVERY is over and there is no door to ask. check_user may be away, hung or restarting.

There is one connection. Questions are sent ahead; the door's answers keep their order. When the
connection is lost, what had no answer is asked again on a new one: a restart of check_user is a
short wait and no 451. When an answer is late, isn't understood or answers nothing, the connection
is thrown away, so that no answer can be taken for that to another question. With an answer that
isn't understood all questions are FAULT; with a late one those behind it, which are younger, are
asked again.

``report`` takes a line for the log when the door has gone and when it is back, however many
questions there are meanwhile.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from check_user.protocols import Lookup, ProtocolError
from check_user.protocols.plain import LINE_LIMIT
from check_user.protocols.reading import ANSWER_LIMIT, read_answer
from check_user.servers.listen import Endpoint, ListenError, Unix
from check_user.verdict import FAULT, MALFORMED, Verdict

LIMIT = 3.9
"""Seconds for an answer, all in all. check_user answers within its ``lookup_timeout`` (3)."""

DELIVERY = 1.0
"""Seconds for finding a door to ask. A restart of check_user takes less."""

PAUSE = 0.1
"""Seconds between two tries to connect."""

AHEAD = 4096
"""Questions that may wait at once; a further one is FAULT. smtpd asks one at a time a session."""

READ_SIZE = 65536


@dataclass(slots=True)
class _Asked:
    """A question, as it goes to the door, and when it was asked."""

    lookup: Lookup
    line: bytes
    since: float


class LineClient:
    """Asks the door at ``endpoint``, whose host is a number. Raises ListenError for a name."""

    def __init__(self, endpoint: Endpoint, report: Callable[[str], None]) -> None:
        """Connect when there is a question."""
        self._family, self._address = _place(endpoint)
        self._report = report
        self._waiting: deque[_Asked] = deque()
        """For a connection; oldest first, and none while there is one."""
        self._sent: deque[_Asked] = deque()
        """Given to this connection, in the order of the answers to come."""
        self._settled: list[tuple[Lookup, Verdict]] = []
        self._socket: socket.socket | None = None
        self._out = b""
        self._in = b""
        self._next_try = 0.0
        self._cause = ""
        """Why there is no connection."""
        self._is_away = False

    def ask(self, lookup: Lookup) -> None:
        """Take a question; :meth:`step` will give its verdict."""
        line = lookup.text.encode("utf-8", "surrogateescape") + b"\n"
        if len(line) > LINE_LIMIT or re.search(rb"[\r\n].", line, re.DOTALL):
            self._settled.append((lookup, MALFORMED))  # it can't be asked as what it is
        elif len(self._waiting) + len(self._sent) >= AHEAD:
            self._settled.append((lookup, FAULT))
        else:
            self._waiting.append(_Asked(lookup, line, time.monotonic()))

    def interest(self) -> tuple[int, int] | None:
        """A descriptor and the events (poll(2)) that are worth waking for, if there are any."""
        if self._socket is None:
            return None
        return self._socket.fileno(), select.POLLIN | (select.POLLOUT if self._out else 0)

    def patience(self) -> float | None:
        """Seconds after which :meth:`step` is due, whatever happens; None: however long."""
        if self._settled:
            return 0.0
        times = [self._sent[0].since + LIMIT] if self._sent else []
        if self._waiting:
            times += [self._waiting[0].since + DELIVERY, self._next_try]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def step(self) -> list[tuple[Lookup, Verdict]]:
        """Do what can be done without waiting, and give the verdicts that there are."""
        now = time.monotonic()
        self._receive()
        if self._sent and now - self._sent[0].since >= LIMIT:
            self._disconnect("no answer in time")
            self._fail_older(now - LIMIT)
        if self._waiting and self._socket is None and now >= self._next_try:
            self._next_try = now + PAUSE
            self._connect()
        self._send()
        self._fail_older(now - DELIVERY)
        settled, self._settled = self._settled, []
        return settled

    def give_up(self, cause: str) -> None:
        """Throw the connection away; every question that is left is FAULT."""
        self._disconnect(cause)
        while self._waiting:
            self._fail(self._waiting.popleft())

    def _connect(self) -> None:
        """Begin to connect; where that takes time, sending and receiving will show the outcome."""
        try:
            self._socket = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            error = self._socket.connect_ex(self._address)
        except OSError as failure:  # no descriptor left, no such family
            self._disconnect(failure.strerror or type(failure).__name__)
            return
        if error not in (0, errno.EINPROGRESS):
            self._disconnect(os.strerror(error))

    def _disconnect(self, cause: str) -> None:
        """End the connection; what it was asked and hasn't answered waits for the next one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._cause = cause
        self._out = self._in = b""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()

    def _send(self) -> None:
        if self._socket is None:
            return
        self._out += b"".join(each.line for each in self._waiting)
        self._sent += self._waiting
        self._waiting.clear()
        if self._out:
            try:
                self._out = self._out[self._socket.send(self._out) :]
            except BlockingIOError:
                pass
            except OSError as error:
                self._disconnect(error.strerror or type(error).__name__)

    def _receive(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._disconnect(error.strerror or type(error).__name__)
            return
        if not data:
            self._disconnect("the connection was closed")
            return
        *lines, self._in = (self._in + data).split(b"\n")
        try:
            self._settle(lines)
        except ProtocolError as error:
            self.give_up(f"not a line door: {error}")

    def _settle(self, lines: list[bytes]) -> None:
        """Take the answers to the oldest questions. Raises ProtocolError."""
        for line in lines:
            if not self._sent:
                raise ProtocolError("an answer to no question")
            lookup = self._sent[0].lookup
            self._settled.append((lookup, read_answer(line, lookup)))
            self._sent.popleft()
            if self._is_away:
                self._is_away = False
                self._report("check_user answers again")
        if len(self._in) >= ANSWER_LIMIT or (self._in and not self._sent):
            raise ProtocolError("more than an answer")

    def _fail_older(self, since: float) -> None:
        """Settle those that wait for a connection and were asked at ``since`` or before."""
        while self._waiting and self._waiting[0].since <= since:
            self._fail(self._waiting.popleft())

    def _fail(self, asked: _Asked) -> None:
        self._settled.append((asked.lookup, FAULT))
        if not self._is_away:
            self._is_away = True
            self._report(f"check_user doesn't answer ({self._cause}); recipients get 451 meanwhile")


def _place(endpoint: Endpoint) -> tuple[int, str | tuple[str, int]]:
    """The address family and the address. Raises ListenError; never asks the DNS."""
    if isinstance(endpoint, Unix):
        return socket.AF_UNIX, endpoint.path
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, endpoint.host)
        except OSError:
            continue
        return family, (endpoint.host, endpoint.port)
    raise ListenError(f"{endpoint.host!r}: an IP address is needed, as in inet:127.0.0.1:10026")
