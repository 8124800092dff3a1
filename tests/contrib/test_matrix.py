"""One verdict through every door: real mail servers beside the check, also while things break.

The promise: never a 5xx for a known user, never an accept of an unknown one, a 4xx where it can't
be told, and in time. What is seen is docs/matrix.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from check_user.verdict import Action, Reason
from tests.contrib.field import CLIENTS, FAULTS, GATEWAY, Field, recipients
from tests.contrib.matrix import (
    NOTES,
    PAGE,
    expected,
    is_own_refusal,
    note_for,
    page,
    without_times,
)
from tests.contrib.recipients import KNOWN, UNKNOWN
from tests.contrib.sites import PATIENCE, SITES
from tests.peers.fixtures import below
from tests.peers.mariadb import MariaDB
from tests.peers.smtp import OUTSIDER, RELAY_CLIENT

pytestmark = pytest.mark.timeout(400)

SERVERS = (*SITES, GATEWAY)

BUSY = 1.0
"""Seconds more, for a busy machine."""

PLAIN = {UNKNOWN, "knowns@ours.example", "former@ours.example", "nobody@xn--bcher-kva.example"}
"""Recipients that no mail server has a reason of its own to refuse."""


@pytest.fixture(scope="module")
def field(session_mariadb: MariaDB, peers_root: Path) -> Iterator[Field]:
    session_mariadb.clean()
    with Field(below(peers_root, "field"), session_mariadb).running() as made:
        yield made


def test_there_are_enough_recipients() -> None:
    """At least sixty, each once."""
    assert len(recipients()) == len(set(recipients())) >= 60


@pytest.mark.fault("PC08", "PC11", "GW19")
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("server", SERVERS)
def test_each_recipient_gets_its_verdict(field: Field, server: str, client: str) -> None:
    """Known: 2xx; refused by the check: 5xx; foreign: 5xx, and for a relay client 2xx.

    Where a server does otherwise, a note says why; and where it tells the codes, they are the
    check's.
    """
    replies = field.replies(client)[server]
    for recipient, verdict, reply in zip(recipients(), field.verdicts(), replies, strict=True):
        seen = (recipient, verdict.reason, reply)
        if reply.code // 100 != expected(verdict, client):
            assert note_for(server, recipient), seen
            assert reply.code // 100 in (2, 5), seen
        if recipient in PLAIN:
            assert not is_own_refusal(field.sites.get(server), verdict, reply), seen


def test_no_note_lets_unknown_users_in(field: Field) -> None:
    """A note is about what a server can't do, or about another address than the one asked for.

    Whoever is refused by the check is accepted nowhere, but where a blank is dropped before the
    question.
    """
    for client in CLIENTS:
        for replies in field.replies(client).values():
            for recipient, verdict, reply in zip(
                recipients(), field.verdicts(), replies, strict=True
            ):
                if verdict.action is Action.DENY and reply.code // 100 == 2:
                    assert recipient == "known @ours.example"


def test_every_note_is_about_something(field: Field) -> None:
    """A note that no server gives a reason for any more must go."""
    used = set()
    for client in CLIENTS:
        for server, replies in field.replies(client).items():
            for recipient, verdict, reply in zip(
                recipients(), field.verdicts(), replies, strict=True
            ):
                if reply.code // 100 != expected(verdict, client):
                    used.add(note_for(server, recipient))
    assert used == set(range(1, len(NOTES) + 1))


def test_relay_clients_are_trusted_with_foreign_recipients_alone(field: Field) -> None:
    """Whoever may relay gets every recipient of ours as others do, but where a note says why."""
    for server in SERVERS:
        both = (field.replies(client)[server] for client in (OUTSIDER, RELAY_CLIENT))
        asked = zip(recipients(), field.verdicts(), *both, strict=True)
        for recipient, verdict, outside, inside in asked:
            if verdict.reason is not Reason.FOREIGN and not note_for(server, recipient):
                assert outside.code // 100 == inside.code // 100, (server, recipient)


@pytest.mark.fault("PC07", "PC21", "DB01", "DB02", "DB03", "DB12")
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "restarted"])
def test_nobody_is_accepted_or_refused_for_good(field: Field, fault: str) -> None:
    """Killed, hung, garbage, database away or frozen: 4xx, as soon as the recipe says; and then
    right answers again within two seconds.
    """
    for name, seen in field.after(fault).items():
        site = field.sites[name]
        limits = {"hung": site.hung, "database frozen": site.frozen, "database killed": 1.0}
        limit = limits.get(fault, site.away)
        if limit is None:
            assert (name, seen.codes) == (name, {0})
            assert seen.seconds >= PATIENCE
            continue
        assert (name, {code // 100 for code in seen.codes}) == (name, {4})
        assert (name, seen.seconds) < (name, limit + BUSY)


@pytest.mark.fault("PC21")
def test_a_restart_is_seen_by_sessions_that_have_begun_alone(field: Field) -> None:
    """The next recipient is refused, for good or (a connection kept was lost) for now; a new
    session has right answers at once.
    """
    for name, seen in field.after("restarted").items():
        going_on, anew = seen.replies
        assert (name, going_on.code) in ((name, 550), (name, 451))
        assert (name, anew.code) == (name, 250)


def test_the_page_is_what_is_seen(field: Field) -> None:
    """docs/matrix.md, but for the tenths of seconds."""
    seen = page(field)
    written = PAGE.read_text("utf-8")
    assert without_times(written) == without_times(seen), "run: python -m tests.contrib.matrix"
    assert KNOWN in written
