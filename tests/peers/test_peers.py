"""The tools of the other tests do what those rely on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.peers.certificates import Authority
from tests.peers.database import DatabaseServer, SqlError
from tests.peers.faultproxy import HEALTHY, End, Fault, FaultProxy, connect
from tests.peers.fixtures import NewMariaDB, NewPostgreSQL
from tests.peers.mariadb import MariaDB
from tests.peers.postgresql import PostgreSQL
from tests.peers.process import MissingProgramError, NotReadyError, alive, descendants, program


@pytest.fixture(params=["mariadb", "postgresql"])
def database(request: pytest.FixtureRequest) -> DatabaseServer:
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server


def ask(server: DatabaseServer, sql: str, limit: float = 2.0) -> str:
    """One statement as check_user, over TCP with its password, by the server's own client."""
    if isinstance(server, MariaDB):
        command = [
            "mariadb",
            "--no-defaults",
            "--ssl",
            f"-h{server.host}",
            f"-P{server.port}",
            "-BN",
        ]
        command += [f"-u{server.user}", f"-p{server.password}", "-e", sql, server.database]
    else:
        command = ["psql", "-XqAt", "-h", server.host, "-p", str(server.port), "-U", server.user]
        command += ["-c", sql, server.database]
    environment = {**os.environ, "PGPASSWORD": server.password}
    return subprocess.run(
        command, env=environment, timeout=limit, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_an_account_that_may_only_read(database: DatabaseServer) -> None:
    """check_user logs in over TCP with its password, reads maildb, and can't write to it."""
    database.execute("CREATE TABLE t (a varchar(20)); INSERT INTO t VALUES ('größe')")
    assert ask(database, "SELECT a FROM t") == "größe"
    with pytest.raises(subprocess.CalledProcessError):
        ask(database, "DELETE FROM t")


def test_a_database_is_clean_for_each_test(database: DatabaseServer) -> None:
    """What the test before made is gone."""
    with pytest.raises(SqlError, match=r"exist"):
        database.execute("SELECT a FROM t")


def test_a_frozen_server_accepts_and_keeps_silent(database: DatabaseServer) -> None:
    """Frozen: the port accepts, no answer comes; thawed: the next query is answered."""
    database.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        ask(database, "SELECT 1", limit=0.3)
    database.thaw()
    assert ask(database, "SELECT 1") == "1"


def test_a_killed_server_starts_again_with_its_data(database: DatabaseServer) -> None:
    """Killed: nothing of it is left and the port refuses; started: the rows are there."""
    database.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (7)")
    family = [database.pid, *descendants(database.pid)]
    database.kill()
    assert not any(alive(pid) for pid in family)
    with pytest.raises(subprocess.CalledProcessError):
        ask(database, "SELECT 1")
    database.start()
    assert database.execute("SELECT a FROM t") == ["7"]


def test_a_frozen_server_can_be_killed_and_left_so(database: DatabaseServer) -> None:
    """Whatever a test leaves behind, the next one gets a running server (see the one after)."""
    database.freeze()
    database.kill()
    assert not database.running


def test_a_server_left_dead_is_back(database: DatabaseServer) -> None:
    """The fixture brings the server back that the test before has killed."""
    assert database.execute("SELECT 1") == ["1"]


def test_settings_of_a_server_of_ones_own(
    new_mariadb: NewMariaDB, new_postgresql: NewPostgreSQL
) -> None:
    """A test that changes settings takes a server of its own, and it has them."""
    mariadb = new_mariadb(options=["--max-connections=17"])
    postgresql = new_postgresql(options=["max_connections=17"])
    mariadb.start()
    postgresql.start()
    assert mariadb.execute("SELECT @@max_connections") == ["17"]
    assert postgresql.execute("SHOW max_connections") == ["17"]


def test_a_server_with_tls(
    new_mariadb: NewMariaDB, new_postgresql: NewPostgreSQL, peer_folder: Path
) -> None:
    """A server that was given a certificate speaks TLS over TCP."""
    issued = Authority(peer_folder, "authority").found().issue("server", "IP:127.0.0.1")
    mariadb = new_mariadb(tls=issued)
    postgresql = new_postgresql(tls=issued)
    mariadb.start()
    postgresql.start()
    assert "TLS" in ask(mariadb, "SHOW STATUS LIKE 'Ssl_version'")
    assert ask(postgresql, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "t"


def test_a_server_that_ends_at_once_is_told_with_its_log(new_mariadb: NewMariaDB) -> None:
    """A server that ends instead of answering: an error with its log, at once."""
    server = new_mariadb(options=["--no-such-option"])
    begin = time.monotonic()
    with pytest.raises(NotReadyError, match="no-such-option"):
        server.start()
    assert time.monotonic() - begin < 5


def test_a_program_that_is_missing_names_its_package() -> None:
    """A server that isn't installed fails the run and says what to install."""
    with pytest.raises(MissingProgramError, match="apt-get install no-such-package"):
        program("no-such-program", "no-such-package")


REPLY = b"0123456789"


@pytest.fixture(params=["tcp", "unix"])
async def proxy(request: pytest.FixtureRequest, peer_folder: Path) -> AsyncIterator[FaultProxy]:
    """A proxy before a server that answers REPLY to each line."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while await reader.readline():
                writer.write(REPLY)

    server = await asyncio.start_unix_server(serve, peer_folder / "upstream")
    listen = peer_folder / "proxy" if request.param == "unix" else None
    async with server, FaultProxy(peer_folder / "upstream", listen) as made:
        yield made


async def exchange(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await connect(proxy.address)
    writer.write(b"ask\n")
    return reader, writer


async def received(proxy: FaultProxy, limit: float = 2.0) -> bytes:
    """All that a client gets who asks once and closes its side."""
    reader, writer = await exchange(proxy)
    with contextlib.closing(writer):
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), limit)


async def test_the_proxy_forwards(proxy: FaultProxy) -> None:
    """Without a fault the reply arrives whole, also when it leaves in slices of one byte."""
    assert await received(proxy) == REPLY
    proxy.inject(Fault(slice=1))
    assert await received(proxy) == REPLY
    assert [connection.replied for connection in proxy.connections] == [len(REPLY)] * 2


@pytest.mark.parametrize("limit", range(len(REPLY)))
async def test_the_proxy_cuts_at_every_byte(proxy: FaultProxy, limit: int) -> None:
    """Exactly ``limit`` bytes arrive, then the end."""
    proxy.inject(Fault(limit=limit, then=End.CLOSE))
    assert await received(proxy) == REPLY[:limit]


async def test_the_proxy_resets(proxy: FaultProxy) -> None:
    """A reset is a reset over TCP, and an end over a unix socket."""
    proxy.inject(Fault(limit=3, then=End.RESET))
    if isinstance(proxy.address, Path):
        assert len(await received(proxy)) <= 3
    else:
        with pytest.raises(ConnectionResetError):
            await received(proxy)


@pytest.mark.parametrize("then", End)
async def test_the_proxy_forwards_a_part_of_what_is_asked(proxy: FaultProxy, then: End) -> None:
    """The server gets ``asked`` bytes and no more; the client gets the end, or nothing."""
    proxy.inject(Fault(asked=6, then=then))
    reader, writer = await exchange(proxy)
    with contextlib.closing(writer):
        assert await reader.readexactly(len(REPLY)) == REPLY
        writer.write(b"ask\n")
        if then is End.SILENCE:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
        elif then is End.RESET and not isinstance(proxy.address, Path):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        else:
            assert await reader.read() == b""
    assert proxy.connections[0].asked == 6


async def test_the_proxy_keeps_silent(proxy: FaultProxy) -> None:
    """After the limit: no byte and no end; the client after that is served."""
    proxy.inject(HEALTHY)
    proxy.script(Fault(limit=4))
    reader, writer = await exchange(proxy)
    with contextlib.closing(writer):
        assert await reader.readexactly(4) == REPLY[:4]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
    assert await received(proxy) == REPLY


async def test_the_proxy_pauses_and_drops(proxy: FaultProxy) -> None:
    """Paused, nothing moves; resumed, the held bytes come; dropped, the connection ends."""
    proxy.pause()
    reader, writer = await exchange(proxy)
    with contextlib.closing(writer):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        proxy.resume()
        assert await reader.readexactly(len(REPLY)) == REPLY
        proxy.drop()
        assert await reader.read() == b""


async def test_the_proxy_refuses_and_accepts(proxy: FaultProxy) -> None:
    """Refusing closes the listener alone; accepting opens it at the same address."""
    reader, writer = await exchange(proxy)
    with contextlib.closing(writer):
        assert await reader.readexactly(len(REPLY)) == REPLY
        proxy.refuse()
        with pytest.raises(OSError, match=r"refused|Connect call failed|No such file"):
            await connect(proxy.address)
        writer.write(b"again\n")
        assert await reader.readexactly(len(REPLY)) == REPLY
    await proxy.accept()
    assert await received(proxy) == REPLY


async def test_the_proxy_gives_a_wrong_answer_and_waits(proxy: FaultProxy) -> None:
    """Fixed bytes instead of the server's; latency holds the reply back."""
    proxy.inject(HEALTHY)
    proxy.script(Fault(answer=b"220 smtp\r\n"), Fault(latency=0.2))
    assert await received(proxy) == b"220 smtp\r\n"
    begin = time.monotonic()
    assert await received(proxy) == REPLY
    assert time.monotonic() - begin >= 0.2


def test_the_postgresql_socket_is_where_libpq_looks(postgresql: PostgreSQL) -> None:
    """The unix socket's path is the one that clients build from folder and port."""
    assert postgresql.socket.is_socket()
