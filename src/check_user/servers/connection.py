"""One client's connection: bytes to the codec, questions to ``decide``, answers in order.

A connection works in turns. In a turn it takes at most ``Limits.ahead`` questions from its codec,
asks for them, and writes every answer that is due, in one write. What it can't answer yet stays in
line; a turn follows when lookups are done, when the peer reads again, or, where more was sent ahead
than one turn takes, after the other connections had theirs. While it doesn't want questions it
doesn't read either, so what a client sends ahead waits in the kernel and not in our memory.

``decide(lookup)`` gives a Verdict at once, or an awaitable of one. A verdict at once costs no task.
Whatever it raises, now or later, is DENYSOFT to the client and one report to the log. An awaitable
belongs to its lookup alone: when the connection breaks it is cancelled.

Half-closed clients (``nc -N``, Exim's readsocket) get all their answers; a client that has closed
altogether looks the same until it is written to. On a ProtocolError what was asked before it is
answered, then the connection is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import CoroutineType
from typing import Protocol, TypeAlias, cast

from check_user.protocols import Codec, Lookup, Mark, Output, ProtocolError
from check_user.verdict import FAULT, Verdict

Decide: TypeAlias = Callable[[Lookup], Verdict | Awaitable[Verdict]]

# Members by names of their own: before Python 3.12 ``Mark.CLOSE`` runs Python code (150 ns), and a
# question comes by some six of them.
_CLOSE = Mark.CLOSE
_NEED_DATA = Mark.NEED_DATA
_NEED_REST = Mark.NEED_REST


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may do. Times in seconds of the event loop's (monotonic) clock."""

    idle: float = 3600.0
    """Silence between questions. Postfix itself closes after 10 s (socketmap) or 300 s (policy)."""
    rest: float = 10.0
    """From the first octet of a question to its last."""
    stall: float = 10.0
    """How long a client may leave more than ``unread`` octets of answers unread."""
    ahead: int = 64
    """Questions that are looked up at once for one client, and the most that one turn takes."""
    unread: int = 65536
    """Octets of answers that may wait for a client that doesn't read. With more it gets no answer
    and isn't read from; the answers to what it has asked already may come on top."""


class Owner(Protocol):
    """What a connection needs of its server."""

    limits: Limits
    decide: Decide

    def joined(self, connection: Connection) -> None:
        """The connection has begun."""
        ...

    def left(self, connection: Connection) -> None:
        """The connection is over."""
        ...

    def report(self, text: str) -> None:
        """Something for the log."""
        ...


class _Due:
    """An answer that is waited for."""

    __slots__ = ("answer", "future", "lookup")

    def __init__(self, lookup: Lookup, future: asyncio.Future[Verdict]) -> None:
        self.lookup = lookup
        self.future = future
        self.answer: bytes | None = None


class Connection(asyncio.Protocol):
    """One client. The event loop calls the methods of :class:`asyncio.Protocol`."""

    __slots__ = (
        "_codec",
        "_due",
        "_ended",
        "_finishing",
        "_is_reading",
        "_loop",
        "_mark",
        "_more",
        "_owner",
        "_scheduled",
        "_since",
        "_stalled",
        "_transport",
    )

    def __init__(self, owner: Owner, codec: Codec, loop: asyncio.AbstractEventLoop) -> None:
        """Speak ``codec`` for ``owner``."""
        self._owner = owner
        self._codec = codec
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._due: deque[bytes | _Due] = deque()
        self._mark = _NEED_DATA
        """What the codec said last when it had no more questions."""
        self._more = False
        """The codec may have more questions."""
        self._since = loop.time()
        """When the client was last served, or began what it has not finished."""
        self._is_reading = True
        self._ended = False
        self._finishing = False
        self._stalled = False
        self._scheduled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._owner.limits.unread)
        self._owner.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone; nobody waits for its answers any more."""
        self._transport = None
        for due in self._due:
            if isinstance(due, _Due):
                due.future.cancel()
        self._due.clear()
        self._owner.left(self)

    def data_received(self, data: bytes) -> None:
        """It asks."""
        if self._mark is not _CLOSE:
            self._codec.feed(data)
            self._more = True
            self._turn()

    def eof_received(self) -> bool:
        """It asks no more, and may still want its answers: keep the connection."""
        self._ended = True
        self._codec.feed(b"")
        self._more = self._mark is not _CLOSE
        self._turn()
        return True

    def pause_writing(self) -> None:
        """It doesn't read."""
        self._stalled = True
        self._since = self._loop.time()

    def resume_writing(self) -> None:
        """It reads again."""
        self._stalled = False
        self._schedule()

    def finish(self) -> None:
        """Answer what was asked, then close."""
        self._finishing = True
        self._schedule()

    def abort(self) -> None:
        """Close without sending anything more."""
        if self._transport is not None:
            self._transport.abort()

    def expire(self, now: float) -> None:
        """End the connection if it has used up a time limit. Called about once a second."""
        limits = self._owner.limits
        if self._due and not self._stalled:
            return
        if self._stalled or self._mark is _CLOSE:
            limit = limits.stall
        else:
            limit = limits.rest if self._mark is _NEED_REST else limits.idle
        if now - self._since > limit:
            self.abort()

    def _schedule(self) -> None:
        """Have a turn when the others had theirs; several wishes make one turn."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        self._turn()

    def _turn(self) -> None:
        """Take questions, write the answers that are due, and see what comes next."""
        if self._transport is None or self._transport.is_closing():
            return
        before = self._mark
        sent = self._send() if self._due else False
        taken = self._take() if self._more and not self._stalled else 0
        if taken:
            sent = self._send() or sent
        if taken or self._mark is not before or (sent and self._mark is _NEED_DATA):
            self._since = self._loop.time()
        self._go_on()

    def _take(self) -> int:
        """Take questions off the codec, as many as may wait for answers; tell how many."""
        room = self._owner.limits.ahead - len(self._due)
        for taken in range(room):
            try:
                event = self._codec.next_event()
            except ProtocolError as error:
                self._report(f"closed, since it doesn't speak the protocol: {error}")
                event = _CLOSE
            if isinstance(event, Lookup):
                self._ask(event)
            elif isinstance(event, Output):
                self._due.append(event.data)
            else:
                self._mark = event
                self._more = False
                return taken
        return room

    def _ask(self, lookup: Lookup) -> None:
        """Put the answer in line, or the place where it will be."""
        try:
            verdict = self._owner.decide(lookup)
        except Exception as error:  # noqa: BLE001 - a door to the outside: every failure is DENYSOFT
            verdict = self._fault(error)
        if isinstance(verdict, Verdict):
            self._due.append(self._codec.answer(lookup, verdict))
            return
        if isinstance(verdict, CoroutineType):  # as ensure_future() does it, without its questions
            future: asyncio.Future[Verdict] = self._loop.create_task(verdict)
        else:
            future = asyncio.ensure_future(verdict, loop=self._loop)
        due = _Due(lookup, future)
        self._due.append(due)
        future.add_done_callback(partial(self._settled, due))

    def _settled(self, due: _Due, future: asyncio.Future[Verdict]) -> None:
        """A lookup is done."""
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if self._transport is None:
            return
        verdict = self._fault(error) if error else future.result()
        due.answer = self._codec.answer(due.lookup, verdict)
        if len(self._due) == 1:
            self._turn()
        elif self._due[0] is due:
            self._schedule()

    def _fault(self, error: BaseException) -> Verdict:
        self._report(f"a lookup failed: {type(error).__name__}: {error}")
        return FAULT

    def _report(self, text: str) -> None:
        """Tell the log, with the client's address where it has one."""
        peer = self._transport.get_extra_info("peername") if self._transport else None
        self._owner.report(f"{peer[0]}: {text}" if isinstance(peer, tuple) else text)

    def _send(self) -> bool:
        """Write the answers at the head of the line that are there; tell whether there were any."""
        ready = []
        while self._due:
            due = self._due[0]
            answer = due.answer if isinstance(due, _Due) else due
            if answer is None:
                break
            ready.append(answer)
            self._due.popleft()
        if ready and self._transport is not None:
            self._transport.write(b"".join(ready))
        return bool(ready)

    def _go_on(self) -> None:
        """Close, read, or have another turn."""
        done = self._mark is _CLOSE or (self._finishing and self._mark is _NEED_DATA)
        if done and not self._due and not self._more:
            self._close()
            return
        self._read(wanted=not self._more)
        if self._more and not self._stalled and len(self._due) < self._owner.limits.ahead:
            self._schedule()

    def _read(self, *, wanted: bool) -> None:
        """Read only while questions are wanted."""
        if self._transport is None or self._ended or wanted is self._is_reading:
            return
        self._is_reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _close(self) -> None:
        """Close when what was written has been sent; :meth:`expire` sees to it that it ends."""
        if self._transport is not None:
            self._mark = _CLOSE
            self._since = self._loop.time()
            self._transport.close()
