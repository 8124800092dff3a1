"""Gateways in folders, and the servers behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.gateway.asking import Gateway
from tests.peers.dovecot import Dovecot
from tests.peers.fixtures import below
from tests.peers.postfix import Postfix

OPINIONS = """
smtpd_recipient_restrictions = check_sender_access inline:{
    { refused@client.example = 554 5.7.1 Not from you }},
    check_recipient_access inline:{
    { gone@ours.example = 550 5.2.1 Mailbox closed },
    { later@ours.example = 450 4.2.1 Mailbox busy }},
    permit
smtpd_client_restrictions = permit
"""
"""What the Postfix behind the gateway says of recipients and senders by itself."""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    gateway = Gateway(tmp_path)
    yield gateway
    await gateway.aclose()


@pytest.fixture(scope="session")
def session_postfix(peers_root: Path) -> Iterator[Postfix]:
    server = Postfix(below(peers_root, "postfix"), OPINIONS, keeps=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postfix(session_postfix: Postfix) -> Postfix:
    """A Postfix with nothing delivered yet."""
    session_postfix.delivered()
    for file in (session_postfix.folder / "mail").glob("all/new/*"):
        file.unlink()
    return session_postfix


@pytest.fixture
def dovecot(peer_folder: Path) -> Iterator[Dovecot]:
    server = Dovecot(peer_folder, ["anna@ours.example", "karl@ours.example"])
    server.start()
    yield server
    server.stop()
