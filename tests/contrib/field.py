"""Every mail server at once, each with every door that it can ask, and one check_user for all.

What is observed here is written down and judged in :mod:`tests.contrib.matrix`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from check_user.app.asking import asking
from check_user.config import load
from check_user.verdict import Verdict
from tests.contrib.recipients import ACCOUNTS, KNOWN, RECIPIENTS, UNKNOWN, MailServer
from tests.contrib.sites import (
    OTHER_RESULT,
    PATIENCE,
    SITES,
    TWO_ANSWERS,
    Site,
    below,
    running,
)
from tests.peers.check_user import CheckUser
from tests.peers.mariadb import MariaDB
from tests.peers.process import free_port, wait_until
from tests.peers.scripted_door import GARBAGE as LINES
from tests.peers.smtp import OUR_DOMAINS, OUTSIDER, RELAY_CLIENT, Session
from tests.peers.stranger import Respond, Stranger

GATEWAY = "check_user's own"
CLIENTS = (OUTSIDER, RELAY_CLIENT)
FAULTS = ("killed", "hung", "garbage", "database killed", "database frozen", "restarted")

SLOW = 10.0
"""Seconds; who waits longer is made to wait seldom."""

GARBAGE = [
    *LINES,
    b"DENY",
    b"DECLINED known",
    *TWO_ANSWERS,
    b"\0",
    b"9:WHATEVER ,",
    b"13:PERM whatever,",
    b"3:OK ,",
    OTHER_RESULT,
    b"6:OK DUN",
    b"200\n",
    b"700 known\n",
    b"\0\0\0\x01c",
    b"\0\0\0\x01a",
    b"\x7f\xff\xff\xff",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"220 mx.example ESMTP\r\n",
    b"",
]
"""What is no answer, whoever reads it; ``b""`` closes without a word."""

SETTINGS = """\
driver=mysql
database=maildb
socket={database}
user=check_user
passwd=secret
email_table=emailtable
email_user=local_part
email_domain=domain
email_enabled=is_enabled
email_enabled_value=yes
domain_table=domaintable
domain_domain=domain
recipient_delimiter=+
bounce_forms=srs, batv
socket_mode=0666
smtp_max_unknown=10000
smtp_max_errors=10000
log_level=warning
"""


class Reply(NamedTuple):
    """A server's reply to RCPT; code 0: none came, in as long as we waited."""

    code: int
    text: str

    def __str__(self) -> str:
        """The code, and the enhanced status code where there is one (RFC 3463)."""
        first = self.text.split(" ", 1)[0]
        is_enhanced = first.replace(".", "").isdigit() and first.count(".") == 2
        return f"{self.code} {first}" if is_enhanced else str(self.code)


@dataclass(frozen=True)
class Seen:
    """What came of a fault: the replies to recipients, and the longest that one took."""

    replies: tuple[Reply, ...]
    seconds: float

    @property
    def codes(self) -> set[int]:
        return {reply.code for reply in self.replies}


class Gateway(NamedTuple):
    """check_user's own SMTP server."""

    port: int


class Field:
    """All of them, running. What was observed is kept."""

    def __init__(self, folder: Path, database: MariaDB) -> None:
        self.database = database
        database.execute(ACCOUNTS)
        self._pool = ThreadPoolExecutor(3 * len(SITES))
        folders = [below(folder, str(number)) for number in range(len(SITES))]
        made = self._pool.map(lambda make, where: make(where), SITES.values(), folders)
        self.sites = dict(zip(SITES, made, strict=True))
        self.gateway = Gateway(free_port())
        self.servers: dict[str, MailServer] = {
            **{name: site.server for name, site in self.sites.items()},
            GATEWAY: self.gateway,
        }
        own = below(folder, "check_user")
        line = own / "line.sock"
        doors = [site.door for site in self.sites.values()]
        doors += [f"line unix:{line}", f"smtp inet:127.0.0.1:{self.gateway.port}"]
        settings = SETTINGS.format(database=database.socket)
        settings += "".join(f"listen={door}\n" for door in doors)
        files = {
            "plugins": f"check_user\nrcpt_ok\nqueue/maildir {own}/mail\n",
            "rcpthosts": "\n".join(OUR_DOMAINS),
            "me": "mx.example",
            "relayclients": RELAY_CLIENT,
        }
        for name, text in files.items():
            (own / name).write_text(text)
        self.check_user = CheckUser(own, settings, line)
        self.verdicts = cache(self._verdicts)
        self.replies = cache(self._replies)
        self.after = cache(self._after)

    @contextmanager
    def running(self) -> Iterator[Field]:
        """Start all, and stop them."""
        with ExitStack() as stack:
            stack.enter_context(self._pool)
            stack.enter_context(running(self.check_user))
            for site in self.sites.values():
                stack.callback(site.server.stop)
            list(self._pool.map(lambda site: site.server.start(), self.sites.values()))
            yield self

    def _verdicts(self) -> list[Verdict]:
        """What the check itself says to each recipient, in the order of RECIPIENTS."""
        with asking(load(self.check_user.file), print) as ask:
            texts = [octets(each).decode("utf-8", "surrogateescape") for each in recipients()]
            return [future.result().decision.verdict for future in list(map(ask, texts))]

    def _replies(self, client: str) -> dict[str, list[Reply]]:
        """What each server says to each recipient."""
        ask = partial(ask_all, source=client)
        return dict(zip(self.servers, self._pool.map(ask, self.servers.values()), strict=True))

    def _after(self, fault: str) -> dict[str, Seen]:
        """What each server says after a fault."""
        return Faults(self, self._pool).see(fault)


def recipients() -> list[str | bytes]:
    """All of them."""
    return [each for group in RECIPIENTS.values() for each in group]


def octets(recipient: str | bytes) -> bytes:
    return recipient.encode() if isinstance(recipient, str) else recipient


def ask_all(server: MailServer, source: str) -> list[Reply]:
    """Ask about every recipient; a server that has enough of a session gets another one."""
    replies: list[Reply] = []
    with ExitStack() as stack:
        session = begin(stack, server, source)
        for recipient in recipients():
            reply = rcpt(session, recipient)
            if reply.code in (0, 421):
                session = begin(stack, server, source)
                reply = rcpt(session, recipient)
            replies.append(reply)
    return replies


def begin(
    stack: ExitStack, server: MailServer, source: str = OUTSIDER, sender: str = "s@client.example"
) -> Session:
    """A session after MAIL."""
    session = stack.enter_context(Session(server.port, source, PATIENCE))
    session.mail(sender)
    return session


def rcpt(session: Session, recipient: str | bytes) -> Reply:
    """The reply; code 0 when the session was closed, or nothing came."""
    try:
        return Reply(*session.rcpt(octets(recipient)))
    except (ConnectionError, TimeoutError):
        return Reply(0, "")


class Faults:
    """check_user, or its database, out of order: what recipients are told meanwhile."""

    def __init__(self, field: Field, pool: ThreadPoolExecutor) -> None:
        self._field = field
        self._pool = pool

    def see(self, fault: str) -> dict[str, Seen]:
        """Break it, ask, mend it, and be answered rightly again. Raises AssertionError."""
        seen = self._see_garbage() if fault == "garbage" else self._see_broken(fault)
        right = self._pool.map(partial(answers_rightly, fault), self._field.sites.values())
        for name, is_right in zip(self._field.sites, right, strict=True):
            assert is_right, f"{name}: not right after: {fault}"
        return seen

    def _see_broken(self, fault: str) -> dict[str, Seen]:
        sites = self._field.sites
        with ExitStack() as stack:
            sessions = {}
            for name, site in sites.items():
                sessions[name] = begin(stack, site.server, sender=f"{word(fault)}@client.example")
                assert rcpt(sessions[name], KNOWN).code == 250
            break_, mend = self._means(fault)
            break_()
            try:
                going_on = {
                    name: self._pool.submit(timed, partial(rcpt, sessions[name], UNKNOWN))
                    for name in sites
                }
                anew = {
                    name: self._pool.submit(timed, partial(first_refusal, site.server, fault))
                    for name, site in sites.items()
                    if asks_twice(fault, site)
                }
                seen = {name: [future.result()] for name, future in going_on.items()}
                for name, future in anew.items():
                    seen[name].append(future.result())
            finally:
                mend()
            for name, site in sites.items():
                if resumes(fault, site, seen[name]):
                    is_right = partial(is_known, sessions[name])
                    assert wait_until(is_right, 2.0), f"{name}: {fault}: its session"
        return {name: gathered(replies) for name, replies in seen.items()}

    def _means(self, fault: str) -> tuple[Callable[[], None], Callable[[], None]]:
        """How it is broken and mended."""
        check_user, database = self._field.check_user, self._field.database
        means: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "killed": (check_user.kill, check_user.start),
            "hung": (check_user.freeze, check_user.thaw),
            "database killed": (database.kill, database.start),
            "database frozen": (database.freeze, database.thaw),
            "restarted": (check_user.restart, lambda: None),
        }
        return means[fault]

    def _see_garbage(self) -> dict[str, Seen]:
        self._field.check_user.stop()
        try:
            found = self._pool.map(see_garbage, self._field.sites.values())
            return dict(zip(self._field.sites, found, strict=True))
        finally:
            self._field.check_user.start()


def word(fault: str) -> str:
    return fault.replace(" ", "-")


def asks_twice(fault: str, site: Site) -> bool:
    """Whether a new session is tried as well; not where each try takes half a minute."""
    return fault != "hung" or (site.hung is not None and site.hung <= 2 * SLOW)


def resumes(fault: str, site: Site, seen: list[tuple[Reply, float]]) -> bool:
    """Whether a session that saw the fault has right answers afterwards."""
    is_left = any(reply.code == 0 for reply, _ in seen)
    return not is_left and (site.resumes or fault.startswith("database"))


def is_known(session: Session) -> bool:
    return rcpt(session, KNOWN).code == 250


def timed(ask: Callable[[], Reply]) -> tuple[Reply, float]:
    begun = time.monotonic()
    return ask(), time.monotonic() - begun


def gathered(replies: list[tuple[Reply, float]]) -> Seen:
    return Seen(tuple(reply for reply, _ in replies), max(seconds for _, seconds in replies))


def first_refusal(server: MailServer, name: str, recipient: str = KNOWN) -> Reply:
    """The first reply of a new session that isn't 2xx, else that to RCPT."""
    commands = ("EHLO client.example", f"MAIL FROM:<{word(name)}-2@client.example>")
    with Session(server.port, limit=PATIENCE) as session:
        reply = Reply(*session.greeting)
        for command in commands:
            if reply.code // 100 == 2:
                reply = Reply(*session.command(command))
        return rcpt(session, recipient) if reply.code // 100 == 2 else reply


def answers_rightly(fault: str, site: Site) -> bool:
    """Whether, within two seconds, a new session's known recipient is accepted, others refused."""

    def is_right() -> bool:
        sender = f"after-{word(fault)}"
        asked = [first_refusal(site.server, sender, each).code for each in (KNOWN, UNKNOWN)]
        return asked == [250, 550]

    return wait_until(is_right, 2.0)


def saying(answer: bytes) -> Respond:
    return lambda data: answer


def see_garbage(site: Site) -> Seen:
    """Ask while somebody else answers in check_user's place."""
    replies = []
    answers = GARBAGE if site.away < SLOW else [b"700 known\n", b"20 known\n", b"OK\n"]
    for number, answer in enumerate(answers):
        if answer in site.understood:
            continue
        # A recipient of its own: Postfix remembers whom it couldn't tell about.
        ask = partial(first_refusal, site.server, "garbage", f"unknown{number}@ours.example")
        with Stranger(site.where, partial(saying, answer), once=True):
            replies.append(timed(ask))
    return gathered(replies)
