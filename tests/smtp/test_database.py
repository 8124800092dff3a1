"""The database goes and comes back, behind the gateway: 451 meanwhile, and nobody refused by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.mariadb import MariaDB
from tests.peers.process import wait_until
from tests.smtp.gateway import ANNA, FOREIGN, MAILDIR, NOBODY, Gateway, one_rcpt

YEAR_2007 = Path(__file__).parents[1] / "data" / "qpsmtpd-2007"
KNOWN, UNKNOWN = "known@ours.example", "unknown@ours.example"
LATER = (451, "4.4.3 Internal error - try later")
IN_TIME = 3.5
"""Seconds: lookup_timeout is 3, and the machine is busy."""
BACK = 2.0
"""Seconds until the first right answer, once the database is back (the goal in figures)."""


ASKED = 6
"""How often; sessions go to both processes in turn."""


@pytest.fixture
def before_mariadb(peer_folder: Path, mariadb: MariaDB) -> Iterator[Gateway]:
    """A gateway with the configuration of 2007."""
    mariadb.execute((YEAR_2007 / "maildb.sql").read_text())
    made = Gateway(peer_folder, MAILDIR)
    where = f"database=maildb;mysql_socket={mariadb.socket}"
    settings = (YEAR_2007 / "check_user").read_text().replace("database=maildb", where)
    file = peer_folder / "check_user.conf"
    file.write_text(f"{settings}listen=smtp inet:127.0.0.1:{made.port}\n")
    with made as gateway:
        yield gateway


def answers(gateway: Gateway) -> list[tuple[int, str]]:
    return [one_rcpt(gateway, name) for name in (KNOWN, UNKNOWN, FOREIGN)]


def is_right(gateway: Gateway) -> bool:
    """Whether all answers are right, again and again: each process has its own database."""
    right = [250, 550, 550]
    return all([code for code, _ in answers(gateway)] == right for _ in range(ASKED))


@pytest.mark.fault("SQ15", "DB01")
def test_the_file_is_away(gateway: Gateway) -> None:
    """Without its database 451 4.4.3 for everybody but postmaster; with it again all is right."""
    names = (ANNA, NOBODY, FOREIGN, "postmaster")
    database = gateway.folder / "accounts.sqlite"
    assert [one_rcpt(gateway, name)[0] for name in names] == [250, 550, 550, 250]
    database.rename(database.with_suffix(".away"))
    said = [one_rcpt(gateway, name) for name in names]
    assert said[:3] == [LATER] * 3
    assert said[3][0] == 250
    database.with_suffix(".away").rename(database)
    assert wait_until(lambda: all(one_rcpt(gateway, ANNA)[0] == 250 for _ in range(ASKED)), BACK)
    assert [one_rcpt(gateway, name)[0] for name in names] == [250, 550, 550, 250]
    assert gateway.deliver(b"Subject: x\r\n\r\nhi\r\n", ANNA) == [250, 250, 250]


@pytest.mark.fault("DB01", "DB12")
def test_killed_and_back(before_mariadb: Gateway, mariadb: MariaDB) -> None:
    """A killed MariaDB is 451 at once in every session, old and new; started, it is asked again."""
    assert is_right(before_mariadb)
    with before_mariadb.client() as old:
        assert old.begin(KNOWN) == [250, 250]
        mariadb.kill()
        begin = time.monotonic()
        assert old.rcpt(KNOWN) == LATER
        assert old.rcpt(UNKNOWN) == LATER
        assert answers(before_mariadb) == [LATER] * 3
        assert time.monotonic() - begin < IN_TIME
        assert old.data(b"Subject: x\r\n\r\nhi\r\n")[0] == 250, "whom it was told 250 for"
        mariadb.start()
        assert wait_until(lambda: is_right(before_mariadb), BACK)
        assert old.command("MAIL FROM:<>")[0] == 250
        assert wait_until(lambda: old.rcpt(KNOWN)[0] == 250, BACK)
    assert [mail.count(b"Delivered-To: ") for mail in before_mariadb.delivered()] == [1]


@pytest.mark.fault("DB02")
def test_frozen_and_back(before_mariadb: Gateway, mariadb: MariaDB) -> None:
    """A frozen MariaDB is 451 within three seconds, for all recipients sent at once, in order."""
    with before_mariadb.client() as client:
        assert client.begin(KNOWN) == [250, 250]
        mariadb.freeze()
        begin = time.monotonic()
        client.send(f"RCPT TO:<{KNOWN}>\r\nRCPT TO:<{UNKNOWN}>\r\n".encode() * 30)
        client.send(b"RCPT TO:<postmaster>\r\n")
        assert client.replies(61) == [451] * 60 + [250]
        assert time.monotonic() - begin < IN_TIME
        mariadb.thaw()
        assert wait_until(lambda: is_right(before_mariadb), BACK)
        assert wait_until(lambda: client.rcpt(UNKNOWN)[0] == 550, BACK)
