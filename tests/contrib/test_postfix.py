"""Postfix with each snippet of ``contrib/postfix``, over SMTP.

The promise: never a 5xx for a known user, never an accept of an unknown one, a 4xx where it can't
be told. What differs between the snippets is time: Postfix limits a policy service as we tell it,
and a socketmap to 100 s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contrib.recipients import FOREIGN, KNOWN, UNKNOWN, talking
from tests.peers.check_user import CheckUser, StartCheckUser
from tests.peers.mariadb import MariaDB
from tests.peers.postfix import Postfix
from tests.peers.process import wait_until
from tests.peers.smtp import RELAY_CLIENT, Session

CONTRIB = Path(__file__).parents[2] / "contrib" / "postfix"
POLICY = "policy"
SNIPPETS = [
    POLICY,
    "socketmap-access",
    "socketmap-relay_recipient_maps",
    "socketmap-virtual_mailbox_maps",
]
ADDRESS = "check_user = unix:check_user/"
OUR_DOMAINS = "relay_domains = ours.example\n"

SUBDOMAIN = "known@sub.ours.example"
NOT_YET_ASKED = "nobody@ours.example"
"""Unknown too. Where the domains are a map, an smtpd process remembers for an address (100 of them)
that its domain couldn't be told (smtpd_resolve.c): 451 again, harmless, but no test of ours."""

POLICY_LIMIT = 12.0
"""Seconds for a hung check_user: two tries of 5, one between, one for a busy machine."""


@dataclass(frozen=True)
class Site:
    """A Postfix and the check_user that it asks."""

    snippet: str
    postfix: Postfix
    check_user: CheckUser


@pytest.fixture(params=SNIPPETS)
def site(
    request: pytest.FixtureRequest, start_check_user: StartCheckUser, peer_folder: Path
) -> Iterator[Site]:
    """Start both, as the snippet says: its socket lies below Postfix's queue directory."""
    snippet: str = request.param
    settings = (CONTRIB / f"{snippet}.main.cf").read_text()
    assert settings.count(ADDRESS) == 1
    if "_maps" not in snippet:
        settings = OUR_DOMAINS + settings  # those two leave the domains to Postfix
    folder = peer_folder / "postfix"
    folder.mkdir()
    postfix = Postfix(folder, settings)
    sockets = postfix.queue / "check_user"
    sockets.mkdir()
    door = snippet.partition("-")[0]
    check_user = start_check_user(f"{door} unix:{sockets / door}.sock")
    postfix.start()
    yield Site(snippet, postfix, check_user)
    postfix.stop()


def code(session: Session, address: str) -> int:
    return session.rcpt(address)[0]


def test_each_recipient_gets_its_verdict(site: Site) -> None:
    """Known: 250; unknown: 550 5.1.1; foreign, or below our domain: relaying denied."""
    with talking(site.postfix) as session:
        assert code(session, KNOWN) == 250
        refusal = session.rcpt(UNKNOWN)
        assert refusal[0] == 550
        assert refusal[1].startswith("5.1.1 ")
        for address in (FOREIGN, SUBDOMAIN):
            assert session.rcpt(address)[1].endswith("Relay access denied")
        assert code(session, "KNOWN@Ours.Example") == 250
        assert code(session, '"at,home"@ours.example') == 250


def test_the_text_of_a_refusal(site: Site) -> None:
    """Where check_user says the whole reply, and not only "not found", it is the original's."""
    with talking(site.postfix) as session:
        text = session.rcpt(UNKNOWN)[1]
    if "_maps" in site.snippet:
        assert "User unknown" in text
    else:
        assert text.endswith(f"Address '{UNKNOWN}' doesn't exist on this server")


def test_relay_clients_recipients_are_looked_up_too(site: Site) -> None:
    """A client that may relay: foreign recipients pass, subdomains too; our unknown ones don't."""
    with talking(site.postfix, RELAY_CLIENT) as session:
        assert code(session, FOREIGN) == 250
        assert code(session, SUBDOMAIN) == 250
        assert code(session, UNKNOWN) == 550
        assert code(session, KNOWN) == 250


@pytest.mark.fault("DB01", "DB12")
def test_the_database_killed_and_back(site: Site, accounts: MariaDB) -> None:
    """Killed: 4xx for the known and the unknown; back: the right answers within two seconds."""
    with talking(site.postfix) as session:
        assert code(session, KNOWN) == 250
        accounts.kill()
        for address in (KNOWN, UNKNOWN):
            assert code(session, address) == 451
        accounts.start()
        assert wait_until(lambda: code(session, KNOWN) == 250, 2)
        assert code(session, NOT_YET_ASKED) == 550


@pytest.mark.fault("DB02", "DB03")
def test_the_database_frozen_and_back(site: Site, accounts: MariaDB) -> None:
    """Frozen: 4xx, each question in check_user's own time; thawed: right within two seconds.

    For one recipient a map is asked up to twice: its domain, then the address.
    """
    with talking(site.postfix) as session:
        assert code(session, KNOWN) == 250
        accounts.freeze()
        for address in (KNOWN, UNKNOWN):
            begin = time.monotonic()
            assert code(session, address) == 451
            assert time.monotonic() - begin < 2 * 3.5
        accounts.thaw()
        assert wait_until(lambda: code(session, KNOWN) == 250, 2)
        assert code(session, NOT_YET_ASKED) == 550


@pytest.mark.fault("PC21")
def test_check_user_killed_and_back(site: Site) -> None:
    """Killed: 4xx, soon; started again: right answers, in the same session."""
    with talking(site.postfix) as session:
        assert code(session, KNOWN) == 250
        site.check_user.kill()
        for address in (KNOWN, UNKNOWN):
            begin = time.monotonic()
            assert code(session, address) == 451
            assert time.monotonic() - begin < 5
        site.check_user.start()
        assert wait_until(lambda: code(session, KNOWN) == 250, 2)
        assert code(session, NOT_YET_ASKED) == 550


@pytest.mark.fault("PC21")
def test_check_user_restarted_between_two_recipients(site: Site) -> None:
    """Postfix asks anew on a new connection: no 4xx after a restart."""
    with talking(site.postfix) as session:
        assert code(session, KNOWN) == 250
        site.check_user.restart()
        assert code(session, UNKNOWN) == 550
        site.check_user.restart()
        assert code(session, KNOWN) == 250


@pytest.mark.fault("PC21")
def test_check_user_hung_and_back(site: Site) -> None:
    """Hung: 4xx by the policy's limit, silence by a socketmap; it goes on: right answers."""
    with talking(site.postfix) as session:
        assert code(session, KNOWN) == 250
        site.check_user.freeze()
        if site.snippet == POLICY:
            begin = time.monotonic()
            assert session.rcpt(KNOWN) == (
                451,
                f"4.4.3 <{KNOWN}>: Recipient address rejected: Internal error - try later",
            )
            assert time.monotonic() - begin < POLICY_LIMIT
            site.check_user.thaw()
        else:
            session.expect_silence(f"RCPT TO:<{UNKNOWN}>", 2)
            site.check_user.thaw()
            assert session.late()[0] == 550
        assert code(session, KNOWN) == 250
        assert code(session, UNKNOWN) == 550
