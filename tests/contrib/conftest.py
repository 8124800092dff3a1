"""check_user behind the mail servers: the 2007 configuration, MariaDB, ``check-user serve``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.check_user import CheckUser, StartCheckUser
from tests.peers.mariadb import MariaDB

DATA = Path(__file__).parents[1] / "data" / "qpsmtpd-2007"


@pytest.fixture
def accounts(mariadb: MariaDB) -> MariaDB:
    """The database of ``tests/data/qpsmtpd-2007``."""
    mariadb.execute((DATA / "maildb.sql").read_text())
    return mariadb


@pytest.fixture
def start_check_user(accounts: MariaDB, peer_folder: Path) -> Iterator[StartCheckUser]:
    """Start ``check-user serve`` with the 2007 configuration and one more door.

    That file is used as it is, but for two things: where the test's database is (DBI's way), and
    where the doors are, since an old file names none.
    """
    started: list[CheckUser] = []

    def start(*doors: str) -> CheckUser:
        line = peer_folder / "line.sock"
        settings = (DATA / "check_user").read_text()
        old = "database=maildb\n"
        assert old in settings
        settings = settings.replace(old, f"database=maildb;mysql_socket={accounts.socket}\n")
        listen = [f"listen={door}\n" for door in (f"line unix:{line}", *doors)]
        folder = peer_folder / "check_user"
        folder.mkdir()
        server = CheckUser(folder, settings + "".join(listen) + "socket_mode=0666\n", line)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()
