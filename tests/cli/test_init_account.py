"""The account that check-user init proposes: its statements are run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from check_user.app.asking import asking
from check_user.cli import main
from check_user.config import load
from check_user.verdict import Reason
from tests.app.serving import free_port
from tests.directory.backends import OnMariaDB, OnPostgreSQL, OnServer
from tests.directory.schemas.filling import Filling
from tests.directory.schemas.products import PRODUCTS
from tests.peers.database import SqlError
from tests.peers.fixtures import NewMariaDB, NewPostgreSQL
from tests.peers.mariadb import MariaDB

STATEMENT = re.compile(r"^  ((?:CREATE|GRANT) .*;)$", re.MULTILINE)
PROPOSED_PASSWORD = re.compile(r"(?:IDENTIFIED BY|PASSWORD) '([^']+)'")


def filled(backend: OnServer) -> OnServer:
    """PostfixAdmin's tables, another one beside them, and no account but the administrators'."""
    filling = Filling(backend)
    PRODUCTS["postfixadmin"].fill(filling)
    filling.fill()
    backend.execute("CREATE TABLE secrets (secret varchar(99))")
    return backend


def proposed(
    backend: OnServer, where: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[list[str], Path]:
    """Run init as the administrator; the statements that it printed, and the file that it wrote."""
    file = folder / "check_user.conf"
    driver = ["--driver", backend.driver, "--database", backend.server.database]
    (folder / "secret").write_text("by hand\n")
    who = ["--user", "installer", "--passwd-file", str(folder / "secret")]
    door = ["--listen", f"line inet:127.0.0.1:{free_port()}"]
    code = main(["init", *driver, *where, *who, *door, "--output", str(file)])
    out = capsys.readouterr().out
    assert code == 0, out
    return STATEMENT.findall(out), file


def use(file: Path, statements: list[str]) -> Path:
    """Put the proposed account in the administrator's place."""
    (password,) = PROPOSED_PASSWORD.findall(" ".join(statements))
    lines = [
        line for line in file.read_text().splitlines() if not line.startswith(("user=", "passwd"))
    ]
    file.write_text("\n".join([*lines, "user=check_user", f"passwd={password}", ""]))
    return file


def reasons(file: Path) -> list[Reason]:
    """What the account finds out of who is there, who isn't, and who is elsewhere."""
    texts = ("anna@example.org", "bert@example.net", "nobody@example.org", "anna@elsewhere.example")
    with asking(load(file), lambda _: None) as ask:
        answers = [ask(text) for text in texts]
        return [answer.result().decision.verdict.reason for answer in answers]


RIGHT = [Reason.KNOWN, Reason.KNOWN, Reason.UNKNOWN, Reason.FOREIGN]


@pytest.mark.parametrize("way", ["host", "socket"])
def test_on_mariadb(
    way: str, new_mariadb: NewMariaDB, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The proposed statements make an account that reaches the database in the way that init did,
    over TCP or the socket, that every lookup works with, and that can read nothing else."""
    server = new_mariadb()
    assert isinstance(server, MariaDB)
    server.start()
    backend = filled(OnMariaDB(server))
    backend.execute(
        "DROP USER check_user@'%'; CREATE USER installer@'%' IDENTIFIED BY 'by hand'; "
        "CREATE USER installer@localhost IDENTIFIED BY 'by hand'; "
        "GRANT SELECT ON *.* TO installer@'%'; GRANT SELECT ON *.* TO installer@localhost"
    )
    tcp, local = ["--host", f"{server.host}:{server.port}"], ["--socket", str(server.socket)]
    statements, file = proposed(backend, tcp if way == "host" else local, tmp_path, capsys)
    assert len(statements) == 5
    for statement in statements:
        backend.execute(statement)
    assert reasons(use(file, statements)) == RIGHT
    assert main(["check", "--config", str(file)]) == 0
    assert re.search(r"^ok +rights: .*only read", capsys.readouterr().out, re.MULTILINE)
    host = "%" if way == "host" else "localhost"
    granted = backend.execute(f"SHOW GRANTS FOR check_user@'{host}'")
    assert all(grant.startswith(("GRANT SELECT ON `maildb`.`", "GRANT USAGE")) for grant in granted)
    assert not any("secrets" in grant or ".*" in grant.removeprefix("GRANT USAGE ON *.*")
                   for grant in granted)  # fmt: skip


def test_on_postgresql(
    new_postgresql: NewPostgreSQL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So it is on PostgreSQL."""
    server = new_postgresql()
    server.start()
    backend = filled(OnPostgreSQL(server))
    backend.execute(
        "ALTER ROLE check_user RENAME TO somebody; "
        "CREATE ROLE installer LOGIN PASSWORD 'by hand' SUPERUSER"
    )
    where = ["--host", f"{server.host}:{server.port}"]
    statements, file = proposed(backend, where, tmp_path, capsys)
    assert len(statements) == 5
    for statement in statements:
        backend.execute(statement)
    assert reasons(use(file, statements)) == RIGHT
    assert main(["check", "--config", str(file)]) == 0
    assert re.search(r"^ok +rights: .*only read", capsys.readouterr().out, re.MULTILINE)
    with pytest.raises(SqlError, match="permission denied"):
        backend.execute("SET ROLE check_user; SELECT * FROM secrets")
