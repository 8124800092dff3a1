"""One client's connection: bytes to the codec, questions to ``decide``, answers in order.

A connection works in turns. In a turn it takes at most ``Limits.ahead`` questions from its codec,
asks for them, and writes every answer that is due, in one write. What it can't answer yet stays in
line; a turn follows when lookups are done, when the peer reads again, or, where more was sent ahead
than one turn takes, after the other connections had theirs. While it doesn't want questions it
doesn't read either, so what a client sends ahead waits in the kernel and not in our memory.

``decide(question)`` gives an answer at once, or a coroutine or a future of one. An answer at once
costs no task, and neither does a coroutine (see ``running``). Whatever it raises, now or later, is
DENYSOFT to the client and one report to the log. What it has begun belongs to its question alone:
when the connection breaks it is cancelled.

Half-closed clients (``nc -N``, Exim's readsocket) get all their answers; a client that has closed
altogether looks the same until it is written to. On a ProtocolError what was asked before it is
answered, then the connection is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from types import CoroutineType
from typing import Any, Protocol, cast

from check_user.protocols import Mark, Output, ProtocolError
from check_user.servers.running import Running
from check_user.servers.talk import Limits, Patience, Talk

# Members by names of their own: before Python 3.12 ``Mark.CLOSE`` runs Python code (150 ns), and a
# question comes by some six of them.
_CLOSE = Mark.CLOSE
_NEED_ANSWER = Mark.NEED_ANSWER
_NEED_CONTENT = Mark.NEED_CONTENT
_NEED_DATA = Mark.NEED_DATA
_START_TLS = Mark.START_TLS


class Owner(Protocol):
    """What a connection needs of its server."""

    limits: Limits

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
    """An answer that is waited for, or that waits for those before it."""

    __slots__ = ("answer", "is_settled", "question", "running")

    def __init__(self, question: object) -> None:
        self.question = question
        self.running: Running[Any] | None = None
        self.answer: object = None
        self.is_settled = False


class Connection(asyncio.Protocol):
    """One client. The event loop calls the methods of :class:`asyncio.Protocol`."""

    __slots__ = (
        "_codec",
        "_due",
        "_encrypting",
        "_ended",
        "_finishing",
        "_is_reading",
        "_is_taking",
        "_loop",
        "_mark",
        "_more",
        "_out",
        "_owner",
        "_patience",
        "_scheduled",
        "_stalled",
        "_talk",
        "_transport",
    )

    def __init__(self, owner: Owner, talk: Talk, loop: asyncio.AbstractEventLoop) -> None:
        """Talk to a client of ``owner``'s."""
        self._owner = owner
        self._talk = talk
        self._codec: Any = talk.codec
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._due: deque[bytes | _Due] = deque()
        self._out: list[bytes] = []
        self._mark = _NEED_DATA
        """What the codec said last when it had no more questions."""
        self._more = False
        """The codec may have more questions."""
        self._patience = Patience(loop.time())
        self._encrypting: asyncio.Task[None] | None = None
        self._is_reading = True
        self._is_taking = False
        self._ended = False
        self._finishing = False
        self._stalled = False
        self._scheduled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast("asyncio.Transport", transport)
        limits = self._owner.limits
        self._transport.set_write_buffer_limits(high=limits.unread)
        self._owner.joined(self)
        if self._talk.greets:
            self._more = True
            if limits.greet:
                self._loop.call_later(limits.greet, self._schedule)
            else:
                self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone; nobody waits for its answers any more."""
        if self._transport is None:
            return
        self._transport = None
        for due in self._due:
            if isinstance(due, _Due) and due.running is not None:
                due.running.cancel()
        self._due.clear()
        if self._talk.closed is not None:
            self._talk.closed()
        self._owner.left(self)

    def data_received(self, data: bytes) -> None:
        """It asks."""
        if self._mark is _CLOSE:
            return
        if self._mark is _NEED_CONTENT:
            self._patience.content(self._loop.time(), len(data))
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
        self._patience.since = self._loop.time()

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
            if now - self._patience.since > limits.stall:
                self.abort()
        elif self._patience.is_over(now, self._mark, limits):
            self._give_up()

    def _give_up(self) -> None:
        """Close a connection that has taken too long; what is half said isn't waited for."""
        if self._transport is not None and self._talk.farewell:
            self._transport.write(self._talk.farewell)
            self._close()
        else:
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
        if self._due:
            self._collect()
        taken = 0
        while self._more and not self._stalled and taken < self._owner.limits.ahead:
            took = self._take()
            taken += took
            self._collect()
            if not took:
                break
        sent = self._flush()
        if taken or self._mark is not before or (sent and self._mark is _NEED_DATA):
            now = self._loop.time()
            if self._mark is not before:
                self._patience.turn(now, before, self._mark)
            self._patience.since = now
        self._go_on()

    def _take(self) -> int:
        """Take questions off the codec, as many as may wait for answers; tell how many."""
        room = self._owner.limits.ahead - len(self._due)
        self._is_taking = True
        for taken in range(room):
            try:
                event = self._codec.next_event()
            except ProtocolError as error:
                self._report(f"closed, since it doesn't speak the protocol: {error}")
                event = _CLOSE
            if isinstance(event, Mark):
                self._mark = event
                self._more = self._is_taking = False
                return taken
            if isinstance(event, Output):
                (self._due if self._due else self._out).append(event.data)
            else:
                self._ask(event)
        self._is_taking = False
        return room

    def _ask(self, question: object) -> None:
        """Put the answer in line, or the place where it will be."""
        try:
            answer = self._talk.decide(question)
        except Exception as error:  # noqa: BLE001 - a door to the outside: every failure is DENYSOFT
            answer = self._fault(error)
        if isinstance(answer, asyncio.Future):
            answer = _result(answer)
        is_pending = isinstance(answer, CoroutineType)
        if not is_pending and not self._due:
            self._out.append(self._codec.answer(question, answer))
            return
        due = _Due(question)
        self._due.append(due)
        if is_pending:
            due.running = Running(answer, self._loop, partial(self._settled, due))
            due.running.step()
        else:
            due.answer = answer
            due.is_settled = True

    def _settled(self, due: _Due, answer: object, error: BaseException | None) -> None:
        """An answer is here."""
        if self._transport is None:
            return
        due.answer = answer if error is None else self._fault(error)
        due.is_settled = True
        due.running = None  # it leads back here: a circle that would hold a piece of a message
        if self._is_taking:  # at once: the turn goes on
            return
        if len(self._due) == 1:
            self._turn()
        elif self._due[0] is due:
            self._schedule()

    def _fault(self, error: BaseException) -> object:
        self._report(f"a lookup failed: {type(error).__name__}: {error}")
        return self._talk.fault

    def _report(self, text: str) -> None:
        """Tell the log, with the client's address where it has one."""
        peer = client_of(self._transport)
        self._owner.report(f"{peer}: {text}" if peer else text)

    def _collect(self) -> None:
        """Turn the answers at the head of the line that are there into bytes."""
        while self._due:
            due = self._due[0]
            if isinstance(due, _Due):
                if not due.is_settled:
                    break
                self._out.append(self._codec.answer(due.question, due.answer))
                if self._mark is _NEED_ANSWER:
                    self._more = True
            else:
                self._out.append(due)
            self._due.popleft()

    def _flush(self) -> bool:
        """Write what was collected; tell whether there was anything."""
        if not self._out or self._transport is None:
            return False
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        if data:
            self._transport.write(data)
        return True

    def _go_on(self) -> None:
        """Close, encrypt, read, or have another turn."""
        done = self._mark is _CLOSE or (self._finishing and self._mark is _NEED_DATA)
        if done and not self._due and not self._more:
            if self._mark is not _CLOSE and self._transport is not None and self._talk.farewell:
                self._transport.write(self._talk.farewell)
            self._close()
            return
        if self._mark is _START_TLS and not self._due:
            self._encrypt()
            return
        self._read(wanted=not self._more and self._mark is not _NEED_ANSWER)
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
            self._patience.since = self._loop.time()
            self._transport.close()

    def _encrypt(self) -> None:
        if self._encrypting is None and self._transport is not None:
            self._encrypting = self._loop.create_task(self._start_tls(self._transport))

    async def _start_tls(self, plain: asyncio.Transport) -> None:
        """Shake hands, and go on encrypted."""
        context = self._talk.tls
        limit = self._owner.limits.rest
        try:
            if context is None:
                raise ConnectionAbortedError("there is no certificate")
            transport = await self._loop.start_tls(
                plain, self, context, server_side=True, ssl_handshake_timeout=limit
            )
        except OSError as error:  # ssl.SSLError is one
            self._report(f"no TLS: {error}")
            plain.abort()
            self.connection_lost(error)
            return
        finally:
            self._encrypting = None
        if transport is None or self._transport is None:
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=self._owner.limits.unread)
        self._is_reading = True
        self._codec.secured()
        self._more = True
        self._turn()


async def _result(future: asyncio.Future[Any]) -> object:
    """A future as a coroutine."""
    return await future


def client_of(transport: asyncio.BaseTransport | None) -> str:
    """The client's network address; empty for a unix socket."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if isinstance(peer, tuple) else ""
