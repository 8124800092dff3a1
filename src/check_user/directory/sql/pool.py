"""The pool: a few held connections, and nobody waits longer than their own clock says.

Lookups arrive as :class:`Question` and wait on a future; the caller's deadline cancels it. Those
that arrive in successive turns of the event loop, or wait for a free connection, share a statement.
What happens when things go wrong:

- **The connection breaks** (killed, gone away, reset): its questions are asked once more on a new
  connection. The idle ones are dropped with it, since they most likely died with it.
- **The connection is silent** for ``SOFT`` seconds: its questions are asked a second time, on a new
  connection, at the next host where there are several; whichever answers first is heard.
- **A new connection can't be had, or nobody answered for the whole time**: the breaker opens. Every
  question is refused at once, all connections are closed, and one task tries to connect anew until
  the real statement is answered. Then the breaker closes.
- **A value breaks its statement**: the questions that shared the statement are asked one by one.
- **The statement itself can't be** (a dropped table, a revoked right): its questions are refused,
  and the connection goes on.

Slow statements that may read a whole table (``scans``) are no fault: neither are they asked twice,
nor do they open the breaker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable

from check_user.directory import Misconfigured, Unavailable
from check_user.directory.sql.connector import Connector
from check_user.directory.sql.drivers import Endpoint
from check_user.directory.sql.faults import Fault, classify, describe, is_authentication
from check_user.directory.sql.questions import Batch, Question, Unstorable
from check_user.directory.sql.session import Session
from check_user.directory.sql.templates import (
    NOTHING,
    SIZES,
    Answer,
    Report,
    Slot,
    Template,
    parameters,
)

SOFT = 1.0
"""Seconds of silence after which a connection is doubted: a third of the default deadline."""

STARTING = 3.0
"""Seconds for each host at the start, at least: the catalogue takes a few dozen round trips."""

COMPANY = 0.002
"""Seconds that questions wait for company while a statement is under way: fuller ones cost less,
and a slow one must not hold the others up."""

TURNS = 5
"""Of the event loop, that bring no more questions: a few microseconds each, to a client's answer of
some hundred. Clients that were answered together ask again within them."""

WAITING = 2048
"""Questions in the queue, more are refused: if all are given up at once, the last hears in time."""


class Pool:
    """Asks questions over at most ``size`` connections.

    ``timeout`` is the whole lookup's deadline in seconds, ``soft`` the silence after which a
    connection is doubted.
    """

    def __init__(
        self, connector: Connector, *, size: int, soft: float, timeout: float, report: Report
    ) -> None:
        self._connector = connector
        self._size = size
        self._soft = soft
        self._timeout = timeout
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Question] = deque()
        self._idle: list[Session] = []
        self._batches: set[Batch] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = self._loop.time()
        self._broken = ""
        self._waker: asyncio.TimerHandle | None = None
        self._pumping = self._opening = self._homesick = self._closed = False

    @property
    def broken(self) -> str:
        """Why the database can't be asked now; empty while it can."""
        return self._broken

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that is asked now."""
        return self._connector.current

    async def start(self) -> None:
        """Open the first connection. Raises Unavailable, or Misconfigured if we aren't let in."""
        try:
            self._idle.append(await self._connector.open(max(self._timeout, STARTING)))
        except Unavailable as error:
            cause = error.__cause__
            if isinstance(cause, Misconfigured):
                raise cause from None
            if cause is not None and is_authentication(cause):
                raise Misconfigured(f"the database refuses us: {error}") from error
            raise

    async def ask(self, template: Template, key: str, slots: tuple[Slot, ...]) -> Answer:
        """Ask one question. Raises Unavailable; a cancelled question is forgotten."""
        if self._broken:
            raise Unavailable(self._broken)
        if len(self._queue) >= WAITING:
            raise Unavailable(f"overloaded: {WAITING} lookups wait for the database")
        plain = "".join([value for slot in slots for value in slot]).isascii()
        question = Question(template, key, slots, self._loop.create_future(), plain)
        self._queue.append(question)
        self._pump_soon()
        return await question.future

    async def close(self) -> None:
        """Let go of everything, without waiting for the server."""
        self._closed, self._broken = True, "shutting down"
        self._refuse_all(Unavailable(self._broken))
        # A statement ends with its connection. To cancel it first would have the driver bid the
        # server farewell, which may take for ever.
        running = {batch.task for batch in self._batches if batch.task is not None}
        for task in self._tasks - running:
            task.cancel()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=1.0)
            for task in left:
                task.cancel()
        await self._connector.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Bringing questions and connections together

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._gather, 0, TURNS)

    def _gather(self, seen: int, turns: int) -> None:
        """Pump when ``TURNS`` of the event loop bring no more questions."""
        waiting = len(self._queue)
        turns = TURNS if waiting > seen else turns - 1
        if turns and waiting < SIZES[-1]:
            self._loop.call_soon(self._gather, waiting, turns)
        else:
            self._pump()

    def _pump(self) -> None:
        self._pumping = False
        while self._queue and not self._closed:
            if not self._queue[0].waiting:
                self._queue.popleft()
            elif self._awaits_company():
                return
            elif self._idle:
                session = self._idle.pop()
                if self._is_wanted(session):
                    self._begin(session, self._take())
                else:
                    session.abort()
            else:
                self._open_another()
                return

    def _awaits_company(self) -> bool:
        """Whether the queue should grow until the statement that is under way has its answer."""
        running = [b.begun for b in self._batches if not b.scans and not b.doubted]
        if not running or len(self._queue) >= SIZES[-1]:
            return False
        left = max(running) + COMPANY - self._loop.time()
        if left <= 0:
            return False
        if self._waker is None:
            self._waker = self._loop.call_later(left, self._wake)
        return True

    def _wake(self) -> None:
        self._waker = None
        self._pump()

    def _take(self) -> list[Question]:
        """The next batch: the first question, and those of its kind that wait behind it.

        Values beyond ASCII go alone: a column's character set may not have them.
        """
        first = self._queue.popleft()
        if not first.plain:
            return [first]
        batch, room, passed = [first], SIZES[-1] - len(first.slots), deque[Question]()
        while room > 0 and self._queue and len(passed) < SIZES[-1]:
            question = self._queue.popleft()
            alike = question.template is first.template and question.plain
            if alike and question.waiting and len(question.slots) <= room:
                batch.append(question)
                room -= len(question.slots)
            elif question.waiting:
                passed.append(question)
        self._queue.extendleft(reversed(passed))
        return batch

    def _begin(self, session: Session, questions: list[Question]) -> None:
        """From here on the connection is seen at work, not only when the task has its turn."""
        batch = Batch(session, questions, self._loop.time())
        self._batches.add(batch)
        batch.task = self._spawn(self._run(batch))

    async def _run(self, batch: Batch) -> None:
        """Ask one batch, and put the connection back, or let go of it."""
        timers = [
            self._loop.call_later(self._soft, self._doubt, batch),
            self._loop.call_later(self._timeout, self._give_up, batch),
        ]
        try:
            healthy = await self._exchange(batch)
        finally:
            for timer in timers:
                timer.cancel()
            self._batches.discard(batch)
        self._keep(batch.session) if healthy else batch.session.abort()
        self._pump_soon()

    async def _exchange(self, batch: Batch) -> bool:
        """Execute and deal out. Returns whether the connection can go on."""
        questions = batch.questions
        size, values = parameters([slot for question in questions for slot in question.slots])
        template = questions[0].template
        try:
            rows = await batch.session.fetch(template.statement(size), values)
            answers = template.answers([(q.key, q.slots) for q in questions], rows)
        except Exception as error:  # noqa: BLE001 - a driver may raise anything; it is sorted below
            return await self._fail(batch, error)
        self._heard = self._loop.time()
        for question, answer in zip(questions, answers, strict=True):
            question.settle(answer)
        return True

    # When a statement fails

    async def _fail(self, batch: Batch, error: Exception) -> bool:
        fault = classify(error)
        if fault is Fault.SERVER:
            self._lose(batch, error)
            return False
        self._heard = self._loop.time()
        if fault is Fault.VALUE and len(batch.questions) > 1:
            return await self._one_by_one(batch)
        for question in batch.questions:
            cause = f"{batch.session.endpoint}: {describe(error)}"
            if fault is not Fault.VALUE or question.plain:
                question.settle(Unavailable(cause))
            elif len(question.slots) > 1:
                question.settle(Unstorable(cause))
            else:
                question.settle(NOTHING)  # what the column can't hold isn't in it
        return True

    async def _one_by_one(self, batch: Batch) -> bool:
        healthy = True
        for question in batch.questions:
            if not healthy:
                self._lose_one(question, f"{batch.session.endpoint}: the connection was lost")
            elif question.waiting:
                healthy = await self._exchange(Batch(batch.session, [question], batch.begun))
        return healthy

    def _lose(self, batch: Batch, error: Exception) -> None:
        """The connection broke: ask once more on a new one."""
        self._drop_idle()
        for question in batch.questions:
            self._lose_one(question, f"{batch.session.endpoint}: {describe(error)}")

    def _lose_one(self, question: Question, cause: str) -> None:
        """A question that is asked elsewhere too waits for that; the last failure decides."""
        self._again([question])
        question.failures += 1
        if question.failures == question.attempts:
            question.settle(Unavailable(cause))

    def _again(self, questions: Iterable[Question]) -> None:
        """Put questions that were asked once in front of the queue."""
        for question in questions:
            if question.waiting and question.attempts == 1:
                question.attempts = 2
                self._queue.appendleft(question)
        self._pump_soon()

    # When a connection is silent

    def _doubt(self, batch: Batch) -> None:
        """Nothing came for a while: ask a second time, on a new connection.

        A scan isn't asked twice; but while nobody else is heard either, it doesn't take the place
        of a connection that may be opened.
        """
        if batch.scans:
            batch.doubted = self._heard < batch.begun
            self._pump_soon()
            return
        batch.doubted = True
        self._drop_idle()
        self._connector.turn_from(batch.session.endpoint, "is silent")
        self._again(batch.questions)

    def _give_up(self, batch: Batch) -> None:
        """Nothing came for the whole time of a lookup."""
        batch.doubted = True
        batch.session.abort()
        if not batch.scans and self._heard < batch.begun:
            self._break(f"{batch.session.endpoint}: no answer in {self._timeout:.1f} s")

    # Connections

    def _is_wanted(self, session: Session) -> bool:
        here = session.endpoint == self._connector.current
        return here and not self._closed and not session.ended

    def _keep(self, session: Session) -> None:
        if self._is_wanted(session) and not self._broken:
            self._idle.append(session)
        else:
            session.abort()

    def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for session in idle:
            session.abort()

    def _open_another(self) -> None:
        busy = sum(not batch.doubted for batch in self._batches)
        if not self._opening and not self._broken and busy < self._size:
            self._opening = True
            self._spawn(self._open_for_queue())

    async def _open_for_queue(self) -> None:
        try:
            session = await self._connector.open()
        except Unavailable as error:
            if not self._idle and all(batch.doubted for batch in self._batches):
                self._break(str(error))
        else:
            self._heard = self._loop.time()
            self._keep(session)
            self._long_for_home()
        finally:
            self._opening = False
            self._pump_soon()

    def _long_for_home(self) -> None:
        if not self._connector.is_home and not self._homesick:
            self._homesick = True
            self._spawn(self._come_home())

    async def _come_home(self) -> None:
        session = await self._connector.come_home()
        self._homesick = False
        if session is not None:
            self._keep(session)

    # The breaker

    def _break(self, cause: str) -> None:
        """Refuse everything, close everything, and begin to try anew."""
        if self._broken or self._closed:
            return
        self._broken = cause
        self._report(f"the database can't be asked: {cause}")
        self._refuse_all(Unavailable(cause))
        self._spawn(self._recover())

    def _refuse_all(self, outcome: Unavailable) -> None:
        refused = [*self._queue, *(q for batch in self._batches for q in batch.questions)]
        self._queue.clear()
        for question in refused:
            question.settle(outcome)
        for batch in self._batches:
            batch.session.abort()
        self._drop_idle()

    async def _recover(self) -> None:
        begun = self._loop.time()
        session = await self._connector.reopen(self._set_broken)
        self._broken = ""
        self._heard = self._loop.time()
        self._keep(session)
        self._long_for_home()
        self._report(f"{session.endpoint} answers again after {self._heard - begun:.1f} s")

    def _set_broken(self, cause: str) -> None:
        self._broken = cause
