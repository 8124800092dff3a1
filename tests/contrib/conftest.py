"""check_user behind the mail servers: the 2007 configuration, MariaDB, ``check-user serve``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contrib.sites import below, recipe
from tests.peers.check_user import CheckUser, StartCheckUser
from tests.peers.mariadb import MariaDB
from tests.peers.qpsmtpd import ARGUMENTS, Qpsmtpd, StartHost

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

    def start(*doors: str, sockets: str = "socket_mode=0666\n") -> CheckUser:
        line = peer_folder / "line.sock"
        settings = (DATA / "check_user").read_text()
        old = "database=maildb\n"
        assert old in settings
        settings = settings.replace(old, f"database=maildb;mysql_socket={accounts.socket}\n")
        listen = [f"listen={door}\n" for door in (f"line unix:{line}", *doors)]
        folder = peer_folder / "check_user"
        folder.mkdir()
        server = CheckUser(folder, settings + "".join(listen) + sockets, line)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(params=sorted(ARGUMENTS))
def start_host(request: pytest.FixtureRequest, peer_folder: Path) -> Iterator[StartHost]:
    """Start qpsmtpd with its recipe.

    ``before`` is a further plugin, called before check_user.
    """
    started: list[Qpsmtpd] = []

    def start(
        socket: Path, arguments: str = "", *, before: Path | None = None, logger: bool = False
    ) -> Qpsmtpd:
        folder = below(peer_folder, f"host{len(started)}")
        made = recipe(folder, "qpsmtpd", f"line unix:{socket}")
        line = f"check_user socket {socket}"
        plugins = (made / "plugins").read_text().replace(line, f"{line} {arguments}".rstrip())
        files = [made / "check_user"]
        if before is not None:
            files.append(before)
            plugins = f"{before.name}\n{plugins}"
        host = Qpsmtpd(folder, request.param, plugins, plugin_files=files, logger=logger)
        started.append(host)
        host.start()
        return host

    yield start
    for host in started:
        host.stop()


@pytest.fixture
def check_user(start_check_user: StartCheckUser) -> CheckUser:
    return start_check_user()


@pytest.fixture
def host(check_user: CheckUser, start_host: StartHost) -> Qpsmtpd:
    return start_host(check_user.line)
