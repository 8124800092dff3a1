"""Gateways, the real servers behind them, and certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.peers.certificates import Authority
from tests.peers.fixtures import below
from tests.smtp.gateway import MAILDIR, Gateway, plugins
from tests.smtp.hops import HOPS, Hop


@pytest.fixture(scope="session")
def running_hops(peers_root: Path) -> Iterator[Callable[[str], Hop]]:
    """Each kind of next hop, started when it is first wanted."""
    running: dict[str, Hop] = {}

    def of_kind(kind: str) -> Hop:
        if kind not in running:
            hop = HOPS[kind](below(peers_root, kind))
            hop.server.start()
            running[kind] = hop
        return running[kind]

    yield of_kind
    for hop in running.values():
        hop.server.stop()


@pytest.fixture(scope="session")
def running_gateways(
    peers_root: Path, running_hops: Callable[[str], Hop]
) -> Iterator[Callable[[str], Gateway]]:
    """A gateway before each of them, the same way."""
    running: dict[str, Gateway] = {}
    with ExitStack() as stack:

        def before(kind: str) -> Gateway:
            if kind not in running:
                made = Gateway(below(peers_root, "gateway"), running_hops(kind).line)
                running[kind] = stack.enter_context(made)
            return running[kind]

        yield before


@pytest.fixture(params=HOPS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of next hop."""
    name: str = request.param
    return name


@pytest.fixture
def hop(kind: str, running_hops: Callable[[str], Hop]) -> Hop:
    """A next hop of each kind that has taken nothing yet."""
    made = running_hops(kind)
    made.empty()
    return made


@pytest.fixture
def before(kind: str, hop: Hop, running_gateways: Callable[[str], Gateway]) -> Gateway:
    """A gateway before it."""
    return running_gateways(kind)


@pytest.fixture
def postfix(running_hops: Callable[[str], Hop]) -> Hop:
    """A Postfix that has taken nothing yet."""
    hop = running_hops("postfix")
    hop.empty()
    return hop


@pytest.fixture
def before_postfix(running_gateways: Callable[[str], Gateway], postfix: Hop) -> Gateway:
    """A gateway before it."""
    return running_gateways("postfix")


@pytest.fixture
def gateway(peer_folder: Path) -> Iterator[Gateway]:
    """A gateway with a maildir behind it."""
    with Gateway(peer_folder, MAILDIR) as made:
        yield made


@pytest.fixture(scope="session")
def authority(peers_root: Path) -> Authority:
    """Whose certificates the gateways here have."""
    made = Authority(below(peers_root, "tls"), "authority").found()
    made.issue("server", "IP:127.0.0.1")
    return made


@pytest.fixture
def tls(peer_folder: Path, authority: Authority) -> Iterator[Gateway]:
    """A gateway with a certificate, and a maildir behind it."""
    pair = [str(authority.folder / f"server.{end}") for end in ("pem", "key")]
    with Gateway(peer_folder, plugins(MAILDIR, f"tls {' '.join(pair)}")) as made:
        yield made
