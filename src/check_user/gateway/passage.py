"""Through the next hop: its transaction runs beside the client's, and its replies are ours.

    the client                      the next hop
    MAIL                            (nothing yet)
    RCPT, accepted by the plugins   connection, MAIL and RCPT; its reply is the client's
    RCPT, accepted                  RCPT
    DATA                            DATA: 354 only after its 354
    content                         content, as fast as it takes it
    the last octet                  CRLF.CRLF: 250 only after its 250
    BDAT ...                        BDAT in pieces of our own, or DATA where there is no CHUNKING
    RSET                            RSET; in the middle of the message the connection is cut

So a client whose recipients are all refused costs the next hop nothing, and they are refused with
the next hop down. The connection serves the client's next mail, too, and nobody else's.

What the next hop refuses reaches the client with its code and text: a 4xx or 5xx to MAIL as the
reply to each RCPT. Three things are told as 451, since they are about the next hop and not about
the mail: replies that say we talk wrongly (500, 502, 503, 530), its farewell (421), and every
failure of the connection: refused, silent, cut, or speaking something else. After a failure all of
the transaction is 451, and the next one connects anew. When it fails between the last octet and the
250, nobody can know whether the mail was taken: 451, and the client sends it again, at worst twice.

Where a connection offers less than the client was told (the next hop was replaced meanwhile), mail
that needs the difference is refused, never changed; DSN parameters are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from check_user.gateway import header
from check_user.gateway.commands import (
    Command,
    Dotted,
    mail_from,
    rcpt_to,
    refusal,
)
from check_user.gateway.connection import Connection
from check_user.gateway.delivery import Transaction
from check_user.gateway.nexthop import LOST, HopError, NextHop
from check_user.gateway.replies import fold
from check_user.protocols.smtp import Mail, Recipient, Reply
from check_user.protocols.smtp.content import is_clean

CHUNK = 65536
"""Octets of a BDAT chunk at least, but for the last: what is held of a message."""

NOT_ABOUT_THE_MAIL = frozenset({421, 500, 502, 503, 530})

NO_ANSWER = ("The next server doesn't answer - try later",)

GO_AHEAD = Reply(250, "2.0.0", ("Go ahead",))
"""The answer to a first BDAT: the next hop says what it thinks of the mail later."""


@dataclass(slots=True)
class _Transaction:
    """What is known of the next hop's side of a mail."""

    mail: asyncio.Future[Reply | None] | None = None
    """What it says to MAIL; None before it is asked."""
    mail_refused: Reply | None = None
    accepted: int = 0
    """Recipients that it took; an LMTP server gives as many replies to the message."""
    dotted: Dotted | None = None
    """The message is sent by DATA."""
    chunk: bytearray | None = None
    """It is sent by BDAT: what has come since the last one."""
    refused: Reply | None = None
    """What it said against a chunk that wasn't the last."""
    failed: HopError | None = None
    """Why this mail can't go on."""


class Passage:
    """One client's way through ``hop``. ``report`` takes one line for the log."""

    def __init__(self, hop: NextHop, report: Callable[[str], None]) -> None:
        self._hop = hop
        self._report = report
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._now = _Transaction()

    async def recipient(self, mail: Mail, recipient: Recipient, deadline: float) -> Reply:
        """Name a recipient to the next hop; its reply."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._recipient(mail, recipient)
        except TimeoutError:
            return self._fail(HopError(LOST, "no reply to RCPT in time"))
        except HopError as error:
            return self._fail(error)

    async def data(self, transaction: Transaction, *, chunked: bool) -> Reply:
        """Begin with the message."""
        try:
            connection = self._require_connection()
            if chunked and connection.extensions.chunking:
                self._now.chunk = bytearray()
                return GO_AHEAD
            asked = connection.ask(Command("DATA"))
            reply = await self._reply(asked, "DATA", self._hop.timeouts.data)
        except HopError as error:
            return self._fail(error)
        if reply.is_positive:
            self._now.dotted = Dotted()
            return GO_AHEAD if chunked else reply
        return reply

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Pass a piece on."""
        connection = self._connection
        if connection is None or self._now.refused:
            return None
        if not is_clean(data):
            self._fail(HopError(LOST, "a bare CR or LF, or a NUL, was about to be sent"))
        elif self._now.dotted is not None:
            connection.write(self._now.dotted.write(data))
            return self._flushed() if connection.writable else None
        elif self._now.chunk is not None:
            self._now.chunk += data
            return self._send_chunk() if len(self._now.chunk) >= CHUNK else None
        return None

    async def end(self) -> Reply:
        """Say that it is whole, and give the next hop's word."""
        try:
            connection = self._require_connection()
            if self._now.refused:
                refused = self._now.refused
                self.abandon()
                return refused
            if self._now.dotted is not None:
                connection.write(self._now.dotted.end())
                asked = connection.expect()
            elif self._now.chunk is not None:
                asked = self._bdat(connection, "LAST")
            else:
                raise HopError(LOST, "no message")  # noqa: TRY301 - as all that goes wrong here
            more = self._now.accepted - 1 if self._hop.target.lmtp else 0
            replies = await self._replies([asked, *(connection.expect() for _ in range(more))])
        except HopError as error:
            reply = self._fail(error)
        else:
            reply = fold(replies)
        self._now = _Transaction()
        return reply

    def abandon(self) -> None:
        """Forget the transaction, here and there."""
        if self._now.dotted is not None:
            self._cut("the message was abandoned")
        elif self._connection is not None and self._now.mail is not None:
            self._connection.ask(Command("RSET"))
        self._now = _Transaction()

    def close(self) -> None:
        """The client has gone."""
        self._closed = True
        if self._now.mail is not None:
            self._cut("the client has gone")
        elif self._connection is not None:
            self._connection.quit()
            self._connection = None
        self._now = _Transaction()

    async def _recipient(self, mail: Mail, recipient: Recipient) -> Reply:
        async with self._opening:
            connection = await self._ready()
            if self._now.mail_refused:
                return self._now.mail_refused
            if refused := refusal(mail, recipient, connection.extensions):
                return refused
            if self._now.mail is None:
                self._now.mail = connection.ask(mail_from(mail, connection.extensions, header.ROOM))
            asked = connection.ask(rcpt_to(recipient, connection.extensions))
        sender = await self._reply(asyncio.shield(self._now.mail), "MAIL")
        if not sender.is_positive:
            self._now.mail_refused = sender
            return sender
        reply = await self._reply(asked, "RCPT")
        self._now.accepted += reply.is_positive
        return reply

    async def _ready(self) -> Connection:
        """Give a connection for this transaction: a new one only before MAIL was said."""
        if self._now.failed:
            raise self._now.failed
        if self._connection is None or (self._connection.cause and self._now.mail is None):
            self._connection = await self._hop.connect()
        if self._closed:
            raise HopError(LOST, "the client has gone")
        return self._connection

    def _require_connection(self) -> Connection:
        """Give the transaction's connection. Raises HopError where there is none (any more)."""
        if self._now.failed:
            raise self._now.failed
        if self._connection is None or not self._now.accepted:
            raise HopError(LOST, "no recipients")
        return self._connection

    async def _reply(
        self, asked: Awaitable[Reply | None], to: str, limit: float | None = None
    ) -> Reply:
        """Wait for a reply that says yes or no to the mail. Raises HopError where it doesn't."""
        try:
            async with asyncio.timeout(limit):
                reply = await asked
        except TimeoutError:
            raise HopError(LOST, f"no reply to {to} in time") from None
        if reply is None:
            cause = self._connection.cause if self._connection else "the connection was closed"
            raise HopError(LOST, f"no reply to {to}: {cause}")
        says_yes = reply.code == 354 if to == "DATA" else reply.code // 100 == 2
        says_no = not reply.is_positive and reply.code not in NOT_ABOUT_THE_MAIL
        if not (says_yes or says_no):
            raise HopError(LOST, f"{reply.code} {reply.enhanced} {reply.lines[0]} to {to}")
        return reply

    async def _replies(self, asked: list[asyncio.Future[Reply | None]]) -> list[Reply]:
        """Wait for what is said to the whole message. Raises HopError."""
        clock = asyncio.get_running_loop().time
        end = clock() + self._hop.timeouts.end
        return [await self._reply(each, "the message", end - clock()) for each in asked]

    async def _flushed(self) -> None:
        """Wait until the next hop has taken most of what was written."""
        try:
            async with asyncio.timeout(self._hop.timeouts.stall):
                while self._connection and (writable := self._connection.writable):
                    await asyncio.shield(writable)
        except TimeoutError:
            self._fail(HopError(LOST, "it takes no more of the message"))

    async def _send_chunk(self) -> None:
        """Send what has come, and wait for the reply: one chunk under way is enough."""
        try:
            asked = self._bdat(self._require_connection(), "")
            reply = await self._reply(asked, "BDAT", self._hop.timeouts.stall)
        except HopError as error:
            self._fail(error)
        else:
            self._now.refused = None if reply.is_positive else reply

    def _bdat(self, connection: Connection, last: str) -> asyncio.Future[Reply | None]:
        data = bytes(self._now.chunk or b"")
        self._now.chunk = bytearray()
        return connection.ask(Command(f"BDAT {len(data)}", last), data)

    def _fail(self, error: HopError) -> Reply:
        """Give up the connection and all of the transaction; one report."""
        if self._now.failed is None:
            self._now.failed = error
            self._cut(str(error))
            self._report(f"next hop {self._hop.target}: {error}")
        return Reply(
            451, self._now.failed.enhanced, ("The next server doesn't answer - try later",)
        )

    def _cut(self, cause: str) -> None:
        if self._connection is not None:
            self._connection.abort(cause)
            self._connection = None
