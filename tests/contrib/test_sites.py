"""Exim, Sendmail and Postfix with the snippets that ask check_user, over SMTP: rules for all.

The promise: never a 5xx for a known user, never an accept of an unknown one, a 4xx where it can't
be told, and in time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.contrib.recipients import FOREIGN, KNOWN, UNKNOWN, first_refusal, talking
from tests.contrib.sites import SITES, Site
from tests.peers.check_user import CheckUser, StartCheckUser
from tests.peers.mariadb import MariaDB
from tests.peers.process import wait_until
from tests.peers.smtp import RELAY_CLIENT, Session
from tests.peers.stranger import Respond, Stranger

BUSY = 1.0
"""Seconds more, for a busy machine."""

IN_TIME = 3.0 + BUSY
"""Seconds for check_user's own answer."""


SLOW = 10.0
"""Seconds; who waits longer for a check_user that hangs is made to wait once."""


@dataclass(frozen=True)
class Pair:
    """A site that runs, and the check_user that it asks."""

    site: Site
    check_user: CheckUser


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, peer_folder: Path) -> Iterator[Site]:
    made = SITES[request.param](peer_folder)
    yield made
    made.server.stop()


@pytest.fixture
def pair(site: Site, start_check_user: StartCheckUser) -> Pair:
    check_user = start_check_user(site.door)
    site.server.start()
    return Pair(site, check_user)


def code(session: Session, address: str) -> int:
    return session.rcpt(address)[0]


def answers_rightly(site: Site) -> bool:
    """Whether a new session's known recipient is accepted and its unknown one refused."""
    return [first_refusal(site.server, address)[0] for address in (KNOWN, UNKNOWN)] == [250, 550]


def test_each_recipient_gets_its_verdict(pair: Pair) -> None:
    """Known: 250; unknown: 550 5.1.1; foreign, or below our domain: relaying denied."""
    with talking(pair.site.server) as session:
        assert code(session, KNOWN) == 250
        refusal = session.rcpt(UNKNOWN)
        assert refusal[0] == 550
        assert refusal[1].startswith("5.1.1 ")
        for address in (FOREIGN, "known@sub.ours.example"):
            reply = session.rcpt(address)
            assert reply[0] // 100 == 5
            assert "relay" in reply[1].lower()
        for address in ("KNOWN@Ours.Example", '"at,home"@ours.example', '"known"@ours.example'):
            assert (address, code(session, address)) == (address, 250)
        for address in ("postmaster", "postmaster@ours.example", "Postmaster@ours.example"):
            assert (address, code(session, address)) == (address, 250)


def test_whoever_is_no_user_is_refused_for_good(pair: Pair) -> None:
    """Malformed, quoted, routed: each way to write somebody who isn't there is 5xx."""
    with talking(pair.site.server) as session:
        for address in (
            "known..twice@ours.example",
            '"not,home"@ours.example',
            '"known@ours.example"@ours.example',
            "grosse@ours.example",
            "x" * 200 + "@ours.example",
            "unknown%ours.example",
            "ours.example!unknown",
            "@relay.example:unknown@ours.example",
            "unknown%s%n@ours.example",
        ):
            assert (address, code(session, address) // 100) == (address, 5)
        assert code(session, KNOWN) == 250


def test_addresses_in_utf8(pair: Pair) -> None:
    """größe is found where the server takes such an address, and is no other user anywhere."""
    with talking(pair.site.server) as session:
        taken = session.rcpt("größe@ours.example")
        if taken[0] != 250:
            assert "8-bit character" in taken[1]
        assert code(session, "grösse@ours.example") // 100 == 5


def test_relay_clients_recipients_are_looked_up_too(pair: Pair) -> None:
    """A client that may relay: its foreign recipients pass, our unknown ones don't."""
    with talking(pair.site.server, RELAY_CLIENT) as session:
        assert code(session, FOREIGN) == 250
        assert code(session, UNKNOWN) == 550
        assert code(session, KNOWN) == 250
        assert code(session, UNKNOWN) == 550
        assert code(session, FOREIGN) == 250


@pytest.mark.fault("DB01", "DB12")
def test_the_database_killed_and_back(pair: Pair, accounts: MariaDB) -> None:
    """Killed: 4xx for the known and the unknown; back: the right answers within two seconds."""
    with talking(pair.site.server) as session:
        assert code(session, KNOWN) == 250
        accounts.kill()
        for address in (KNOWN, UNKNOWN):
            assert code(session, address) == 451
        accounts.start()
        assert wait_until(lambda: code(session, KNOWN) == 250, 2)
        assert code(session, UNKNOWN) == 550


@pytest.mark.fault("DB02", "DB03")
def test_the_database_frozen_and_back(pair: Pair, accounts: MariaDB) -> None:
    """Frozen: 4xx in check_user's own time; thawed: the right answers within two seconds."""
    with talking(pair.site.server) as session:
        assert code(session, KNOWN) == 250
        accounts.freeze()
        for address in (KNOWN, UNKNOWN):
            begin = time.monotonic()
            assert code(session, address) == 451
            assert time.monotonic() - begin < IN_TIME
        accounts.thaw()
        assert wait_until(lambda: code(session, KNOWN) == 250, 2)
        assert code(session, UNKNOWN) == 550


@pytest.mark.fault("PC21")
def test_check_user_killed_and_back(pair: Pair) -> None:
    """Killed: 4xx, soon, in a session that goes on and in a new one; started again: right."""
    with talking(pair.site.server) as session:
        assert code(session, KNOWN) == 250
        pair.check_user.kill()
        begin = time.monotonic()
        assert code(session, UNKNOWN) == 451
        assert time.monotonic() - begin < pair.site.away + BUSY
    reply, seconds = first_refusal(pair.site.server, KNOWN)
    assert reply == 451
    assert seconds < pair.site.away + BUSY
    pair.check_user.start()
    assert answers_rightly(pair.site)


@pytest.mark.fault("PC21")
def test_check_user_restarted_between_two_sessions(pair: Pair) -> None:
    """After a restart the next session has right answers at once."""
    assert answers_rightly(pair.site)
    pair.check_user.restart()
    assert answers_rightly(pair.site)


@pytest.mark.fault("PC21")
def test_check_user_hung_and_back(pair: Pair) -> None:
    """Hung: 4xx by the recipe's limit, in new sessions too; it goes on: right answers."""
    limit = pair.site.limit
    with talking(pair.site.server) as session:
        assert code(session, KNOWN) == 250
        pair.check_user.freeze()
        if limit is None:
            session.expect_silence(f"RCPT TO:<{UNKNOWN}>", 2)
            pair.check_user.thaw()
            assert session.late()[0] == 550
            return
        begin = time.monotonic()
        assert code(session, KNOWN) == 451
        assert time.monotonic() - begin < limit + BUSY
    if limit < SLOW:
        reply, seconds = first_refusal(pair.site.server, KNOWN)
        assert reply == 451
        assert seconds < limit + BUSY
    pair.check_user.thaw()
    assert answers_rightly(pair.site)


GARBAGE = [
    b"",
    b"\n",
    b"\0",
    b"OK\n",
    b"DENY\n",
    b"DENY",
    b"DENY \xff\xfe\n",
    b"DENY no\nDENY no\n",
    b"DENY " + b"x" * 2000 + b"\n",
    b"DECLINED known",
    b"DECLINED known\nDENY no\n",
    b"9:WHATEVER ,",
    b"13:PERM whatever,",
    b"3:OK ,",
    b"10:OK REJECT ,",
    b"9:NOTFOUND ,",
    b"6:OK DUN",
    b"200\n",
    b"700 known\n",
    b"\0\0\0\x01c",
    b"\0\0\0\x01a",
    b"\x7f\xff\xff\xff",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"\x16\x03\x01\x02\0\n",
    b"220 mx.example ESMTP\r\n",
]


def saying(answer: bytes) -> Respond:
    return lambda data: answer


@pytest.mark.fault("PC07", "PC21")
def test_garbage_is_neither_yes_nor_no(site: Site) -> None:
    """Whatever else answers in check_user's place, or closes without a word: 4xx, in time."""
    site.server.start()
    for garbage in GARBAGE if site.away < SLOW else [b"700 known\n", b"20 known\n", b"OK\n"]:
        with Stranger(site.where, partial(saying, garbage), once=True):
            for address in (KNOWN, UNKNOWN):
                reply, seconds = first_refusal(site.server, address)
                assert (garbage, reply) in ((garbage, 421), (garbage, 451))
                assert seconds < site.away + BUSY
