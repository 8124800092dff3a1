"""The pytest plugin: real servers as fixtures.

=====================  ==================================================================
``mariadb``            the session's MariaDB, running, ``maildb`` empty
``postgresql``         the session's PostgreSQL, the same
``new_mariadb``        makes further ones, for a test that changes settings: not started
``new_postgresql``     the same
``peer_folder``        a new folder that other accounts may enter, its path short enough
                       for a unix socket (107 bytes)
=====================  ==================================================================

A test may kill or freeze what it gets: the next test finds it running again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tests.peers import mariadb as mariadb_peer
from tests.peers import postgresql as postgresql_peer
from tests.peers.database import Tls
from tests.peers.mariadb import MariaDB
from tests.peers.postgresql import PostgreSQL


class NewMariaDB(Protocol):
    def __call__(self, *, options: Sequence[str] = (), tls: Tls | None = None) -> MariaDB: ...


class NewPostgreSQL(Protocol):
    def __call__(self, *, options: Sequence[str] = (), tls: Tls | None = None) -> PostgreSQL: ...


@pytest.fixture(scope="session")
def peers_root() -> Iterator[Path]:
    """The session's folder; pytest's own can't be entered by a server's account."""
    root = Path(tempfile.mkdtemp(prefix="check_user-"))
    root.chmod(0o755)
    yield root
    shutil.rmtree(root)


def below(root: Path, name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def peer_folder(peers_root: Path) -> Path:
    return below(peers_root, "test")


@pytest.fixture(scope="session")
def mariadb_template(peers_root: Path) -> mariadb_peer.Template:
    return mariadb_peer.Template(below(peers_root, "mariadb"))


@pytest.fixture(scope="session")
def postgresql_template(peers_root: Path) -> postgresql_peer.Template:
    return postgresql_peer.Template(below(peers_root, "postgresql"))


@pytest.fixture(scope="session")
def session_mariadb(mariadb_template: mariadb_peer.Template, peers_root: Path) -> Iterator[MariaDB]:
    server = mariadb_template.server(below(peers_root, "mariadb"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def session_postgresql(
    postgresql_template: postgresql_peer.Template, peers_root: Path
) -> Iterator[PostgreSQL]:
    server = postgresql_template.server(below(peers_root, "postgresql"))
    yield server
    server.stop()


@pytest.fixture
def mariadb(session_mariadb: MariaDB) -> MariaDB:
    session_mariadb.clean()
    return session_mariadb


@pytest.fixture
def postgresql(session_postgresql: PostgreSQL) -> PostgreSQL:
    session_postgresql.clean()
    return session_postgresql


@pytest.fixture
def new_mariadb(mariadb_template: mariadb_peer.Template, peers_root: Path) -> Iterator[NewMariaDB]:
    made: list[MariaDB] = []

    def new(*, options: Sequence[str] = (), tls: Tls | None = None) -> MariaDB:
        folder = below(peers_root, "mariadb")
        made.append(mariadb_template.server(folder, options=options, tls=tls))
        return made[-1]

    yield new
    for server in made:
        server.stop()


@pytest.fixture
def new_postgresql(
    postgresql_template: postgresql_peer.Template, peers_root: Path
) -> Iterator[NewPostgreSQL]:
    made: list[PostgreSQL] = []

    def new(*, options: Sequence[str] = (), tls: Tls | None = None) -> PostgreSQL:
        folder = below(peers_root, "postgresql")
        made.append(postgresql_template.server(folder, options=options, tls=tls))
        return made[-1]

    yield new
    for server in made:
        server.stop()
