"""A client of a Session: it asks what the codec would ask, in the order that the codec keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from check_user.directory.sql.resolver import Resolver
from check_user.gateway.chain import Chain
from check_user.gateway.crowd import Crowd, Doorkeeper
from check_user.gateway.delivery import Timeouts
from check_user.gateway.plugins import Site
from check_user.gateway.session import Session
from check_user.protocols import Lookup
from check_user.protocols.smtp import (
    Abandon,
    Content,
    Data,
    End,
    Mail,
    Question,
    Recipient,
    Reply,
)
from check_user.verdict import FAULT, MALFORMED, Replies, Verdict, foreign, known, unknown
from check_user.verdict import Reply as Refusal

CLIENT = "192.0.2.7"
HELLO = "client.example"
MESSAGE = b"Subject: hello\r\n\r\n.a line with a dot\r\n"
MAIL = Mail(
    sender="sender@client.example",
    size=0,
    body="",
    utf8=False,
    dsn=(),
    hello=HELLO,
    protocol="ESMTP",
    client=CLIENT,
)
NO_LIMITS = Doorkeeper(Crowd(), clients=0, unknown=0, is_aside=lambda _: True)
TOO_MANY_GUESSES = Replies().harvest
SHORT = Timeouts(connect=0.5, recipient=0.5, data=0.5, stall=0.5, end=0.5)
"""Where a test waits for them to be over; a healthy server needs a tenth."""


def decide(lookup: Lookup) -> Verdict:
    """Known: whoever is at ours.example, but for names that begin with what they are."""
    name, _, domain = lookup.text.strip("<>").partition("@")
    if domain and domain != "ours.example":
        return foreign(lookup.text)
    for word, verdict in (("no", unknown(lookup.text)), ("fault", FAULT), ("bad", MALFORMED)):
        if name.startswith(word):
            return verdict
    return known(lookup.text)


async def decide_later(lookup: Lookup) -> Verdict:
    """The same, as a database does it."""
    await asyncio.sleep(0)
    return decide(lookup)


@dataclass
class Gateway:
    """A chain in a folder, and what it reported."""

    folder: Path
    timeouts: Timeouts = field(default_factory=Timeouts)
    decide: Callable[[Lookup], Verdict | Awaitable[Verdict]] = decide
    reports: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    def chain(self, plugins: str, **files: str) -> Chain:
        """Write qpsmtpd's files and read them."""
        for name, text in {"plugins": plugins, "rcpthosts": "ours.example\n", **files}.items():
            (self.folder / name).write_text(text)
        site = Site(
            self.folder,
            "gateway.example",
            self.decide,
            Resolver().resolve,
            self.reports.append,
            self.timeouts,
        )
        return Chain(site)

    async def client(self, queue: str) -> Client:
        """A client of the usual chain with that queue."""
        chain = self.chain(f"check_user\nrcpt_ok\n{queue}\n")
        await chain.start()
        self.clients.append(Client(chain))
        return self.clients[-1]

    async def aclose(self) -> None:
        """End every client's session, and what is behind it."""
        for client in self.clients:
            client.session.closed()
            await client.chain.aclose()


class Client:
    """One session."""

    def __init__(
        self,
        chain: Chain,
        doorkeeper: Doorkeeper = NO_LIMITS,
        harvest: Refusal = TOO_MANY_GUESSES,
    ) -> None:
        self.chain = chain
        self.session = Session(chain, doorkeeper, harvest)

    async def ask(self, question: Question) -> Reply | None:
        """Ask, and wait for the answer."""
        answer = self.session.handle(question)
        return answer if answer is None or isinstance(answer, Reply) else await answer

    async def told(self, question: Question) -> Reply:
        """Ask a question that has a reply."""
        reply = await self.ask(question)
        assert reply is not None
        return reply

    async def rcpt(self, name: str, *dsn: str) -> Reply:
        """Name a recipient, without brackets."""
        return await self.told(recipient(name, *dsn))

    async def message(
        self, content: bytes | Iterable[bytes] = MESSAGE, *, chunked: bool = False
    ) -> Reply:
        """Send a message; the reply to DATA if it was refused, to its end otherwise."""
        reply = await self.told(Data(chunked))
        if not reply.is_positive:
            await self.ask(Abandon())
            return reply
        octets = 0
        for piece in [content] if isinstance(content, bytes) else content:
            octets += len(piece)
            assert await self.ask(Content(piece)) is None
        return await self.told(End(octets))

    async def send(
        self,
        names: Sequence[str] = ("anna@ours.example",),
        content: bytes | Iterable[bytes] = MESSAGE,
        *,
        chunked: bool = False,
        mail: Mail = MAIL,
    ) -> list[Reply]:
        """Send a mail; the recipients' replies (all asked at once), and the message's if any is."""
        assert (await self.told(mail)).code == 250
        replies = list(await asyncio.gather(*(self.rcpt(name) for name in names)))
        if any(reply.is_positive for reply in replies):
            replies.append(await self.message(content, chunked=chunked))
        else:
            await self.ask(Abandon())
        return replies


def recipient(name: str, *dsn: str) -> Recipient:
    return Recipient(f"<{name}>", dsn, CLIENT)


def codes(replies: Iterable[Reply]) -> list[int]:
    return [reply.code for reply in replies]


def mail_of(**changes: object) -> Mail:
    """MAIL with other parameters."""
    return replace(MAIL, **changes)  # type: ignore[arg-type] # each test names a field it knows
