"""One client's session: the codec's questions in, replies out.

    session = Session(chain, doorkeeper, harvest)
    reply = session.handle(question)        a Reply, None, or an awaitable of one
    session.closed()                        the client has gone

A transaction begins with MAIL, ends with End or Abandon, and the next one begins after that. MAIL
costs nobody anything: it is kept until a recipient was accepted by the plugins, and the queue's
word about that recipient is the client's. The message is passed on as it comes, with our Received
field before it; nothing of it is kept here.

A message in a loop is refused at its end, 554 5.4.6, and goes nowhere. Loops are seen by the number
of Received fields alone: a maildir behind a gateway passes nothing on.

A client whose network has too many here is told 421 in place of the greeting; one whose network has
guessed too often is told 450, or what the site says (``harvest``), where it would be 5xx (see
``crowd``). That an address is malformed isn't guessing: it is told whatever the count.

An exception in a hook, or anywhere below, is 451 4.3.0 with a constant text to the question it
belongs to, and one report; the session goes on. A message that it hits is never delivered.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeAlias

from check_user.gateway.chain import Chain
from check_user.gateway.crowd import Doorkeeper, Visit
from check_user.gateway.delivery import INTERNAL, Transaction
from check_user.gateway.header import MOST_RECEIVED, ReceivedCount, received
from check_user.gateway.plugins import Decision
from check_user.protocols import one_line
from check_user.protocols.smtp import (
    Abandon,
    Connect,
    Content,
    Data,
    End,
    Mail,
    Question,
    Recipient,
    Reply,
    Secured,
)
from check_user.verdict import FAULT
from check_user.verdict import Reply as Refusal

SENDER_OK = Reply(250, "2.1.0", ("Sender ok",))
NO_TRANSACTION = Reply(503, "5.5.1", ("MAIL first",))
NO_RECIPIENTS = Reply(554, "5.5.1", ("No valid recipients",))
IN_A_LOOP = Reply(554, "5.4.6", ("Too many hops: the message is in a loop",))
UNKNOWN_YET = Reply(FAULT.code, FAULT.enhanced, (FAULT.text,))
NOT_NOW = Reply(421, "4.3.0", INTERNAL.lines)
"""In place of the greeting."""

MALFORMED = "5.1.3"
"""RFC 3463 3.2: bad destination mailbox address syntax."""

Answer: TypeAlias = Reply | Coroutine[Any, Any, Reply | None] | asyncio.Future[Reply | None] | None

MARK_OCTETS = 6
"""Of a transaction's name, which has twice as many letters."""


class Session:
    """Answers one client's questions."""

    __slots__ = (
        "_chain",
        "_delivery",
        "_doorkeeper",
        "_harvest",
        "_received",
        "_refused",
        "_site",
        "_time",
        "_transaction",
        "_visit",
    )

    def __init__(self, chain: Chain, doorkeeper: Doorkeeper, harvest: Refusal) -> None:
        """Wait for Connect. ``harvest`` is said to a network that has guessed too often."""
        self._harvest = harvest
        self._doorkeeper = doorkeeper
        self._visit: Visit | None = None
        """None before it was let in, and after it has gone."""
        self._chain = chain
        self._site = chain.site
        self._delivery = chain.hook_queue()
        self._transaction: Transaction | None = None
        self._received = ReceivedCount()
        self._time = asyncio.get_running_loop().time
        self._refused: Reply | None = None
        """What the message's end will be told, known while it still comes."""

    def handle(self, question: Question) -> Answer:
        """Answer. Never raises, and neither does what has to be waited for.

        A recipient is waited for without a task: nothing on the way to a verdict needs one. All
        else asks the queue, which sets itself time limits (asyncio.timeout), and they do.
        """
        try:
            answer = self._answer(question)
        except Exception as error:  # noqa: BLE001 - a door to the outside: every failure is 451
            return self._fault(question, error)
        if answer is None or isinstance(answer, Reply):
            return answer
        later = self._later(question, answer)
        return later if isinstance(question, Recipient) else asyncio.ensure_future(later)

    def closed(self) -> None:
        """Let go of everything: the client has gone."""
        self._transaction = None
        if self._visit is not None:
            self._visit.leave()
            self._visit = None
        self._delivery.close()

    def _answer(self, question: Question) -> Reply | Awaitable[Reply | None] | None:
        match question:
            case Recipient():
                return self._recipient(question)
            case Content():
                return self._content(question.data)
            case Mail():
                self._transaction = Transaction(question)
                return SENDER_OK
            case Data():
                return self._data(chunked=question.chunked)
            case End():
                return self._end()
            case Abandon():
                self._abandon()
                return None
            case Connect():
                return self._connect(question.client)
            case Secured():
                return None

    def _connect(self, client: str) -> Reply:
        self._visit = self._doorkeeper.admit(client)
        if self._visit is None:
            text = f"{self._site.me} Too many connections from your network"
            return Reply(421, "4.7.0", (text,))
        return Reply(220, "", (f"{self._site.me} ESMTP check_user ready",))

    async def _later(self, question: Question, answer: Awaitable[Reply | None]) -> Reply | None:
        try:
            return await answer
        except Exception as error:  # noqa: BLE001 - a door to the outside: every failure is 451
            return self._fault(question, error)

    def _fault(self, question: Question, error: Exception) -> Reply | None:
        """Make the best of a failure: the transaction goes on where it can be whole."""
        self._site.report(f"the gateway failed: {type(error).__name__}: {error}")
        match question:
            case Connect():
                return NOT_NOW
            case Mail() | Recipient():
                return INTERNAL
            case Data() | End():
                self._abandon()
                return INTERNAL
            case Content():
                self._refuse(INTERNAL)
                return None
            case Abandon() | Secured():
                return None

    def _recipient(self, recipient: Recipient) -> Reply | Awaitable[Reply]:
        transaction = self._transaction
        if transaction is None:
            return NO_TRANSACTION
        deadline = self._time() + self._site.timeouts.recipient
        decision = self._chain.hook_rcpt(transaction, recipient)
        if isinstance(decision, Decision):
            return self._decided(transaction, recipient, decision, deadline)
        return self._wait(transaction, recipient, decision, deadline)

    async def _wait(
        self,
        transaction: Transaction,
        recipient: Recipient,
        pending: Coroutine[Any, Any, Decision],
        deadline: float,
    ) -> Reply:
        """Wait for the plugins' decision, and then for the queue's."""
        try:
            decision = await self._chain.within(pending)
        except TimeoutError:
            self._site.report("no decision about a recipient within the time limit")
            return UNKNOWN_YET
        answer = self._decided(transaction, recipient, decision, deadline)
        return answer if isinstance(answer, Reply) else await answer

    def _decided(
        self, transaction: Transaction, recipient: Recipient, decision: Decision, deadline: float
    ) -> Reply | Awaitable[Reply]:
        if decision.reply is not None:
            return self._guarded(recipient, decision.reply)
        answer = self._delivery.recipient(transaction.mail, recipient, deadline)
        if isinstance(answer, Reply):
            return self._noted(transaction, recipient, answer)
        return self._note(transaction, recipient, asyncio.ensure_future(answer))

    def _noted(self, transaction: Transaction, recipient: Recipient, reply: Reply) -> Reply:
        if reply.is_positive:
            transaction.recipients.append(recipient)
        return self._guarded(recipient, reply)

    async def _note(
        self, transaction: Transaction, recipient: Recipient, answer: Awaitable[Reply]
    ) -> Reply:
        return self._noted(transaction, recipient, await answer)

    def _guarded(self, recipient: Recipient, reply: Reply) -> Reply:
        """Tell a network that has guessed too often the same about whoever isn't there."""
        if reply.code < 500 or reply.enhanced == MALFORMED:
            return reply
        if not self._visit or self._visit.may_guess():
            return reply
        text = one_line(self._harvest.say(recipient.text.removeprefix("<").removesuffix(">")))
        return Reply(self._harvest.code, self._harvest.enhanced, (text,), in_place_of_5xx=True)

    async def _data(self, *, chunked: bool) -> Reply:
        transaction = self._transaction
        if transaction is None or not transaction.recipients:
            return NO_RECIPIENTS
        self._received = ReceivedCount()
        self._refused = None
        reply = await self._delivery.data(transaction, chunked=chunked)
        if reply.is_positive:
            mark = secrets.token_hex(MARK_OCTETS)
            written = self._delivery.write(received(transaction, self._site.me, mark))
            if written is not None:
                await written
        return reply

    def _content(self, data: bytes) -> Awaitable[None] | None:
        if self._received.feed(data) > MOST_RECEIVED:
            self._refuse(IN_A_LOOP)
            return None
        return self._delivery.write(data)

    async def _end(self) -> Reply:
        refused = self._refused
        if refused:
            self._abandon()
            return refused
        reply = await self._delivery.end()
        self._transaction = None
        return reply

    def _refuse(self, reply: Reply) -> None:
        """Let nothing of this message arrive; its end is told why."""
        self._refused = reply
        self._delivery.abandon()

    def _abandon(self) -> None:
        self._transaction = None
        self._refused = None
        self._delivery.abandon()
