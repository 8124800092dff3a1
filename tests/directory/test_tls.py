"""TLS to the database: verified, or there is no connection. Never plaintext in its place."""

from __future__ import annotations

import pytest

from check_user.directory import Unavailable
from check_user.directory.sql import TlsOptions
from tests.directory.asking import ACCOUNTS, BACK, KNOWN, asking, disconnect
from tests.peers.certificates import Authority
from tests.peers.database import DatabaseServer, Tls
from tests.peers.fixtures import NewMariaDB, NewPostgreSQL
from tests.peers.mariadb import MariaDB

# asyncpg leaves the socket of a TLS handshake that failed to the garbage collector, now and then.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority").found()


@pytest.fixture(params=["mariadb", "postgresql"])
def new_server(
    request: pytest.FixtureRequest, new_mariadb: NewMariaDB, new_postgresql: NewPostgreSQL
) -> NewMariaDB | NewPostgreSQL:
    return new_mariadb if request.param == "mariadb" else new_postgresql


def begun(new_server: NewMariaDB | NewPostgreSQL, tls: Tls | None) -> DatabaseServer:
    server: DatabaseServer = new_server(tls=tls)
    server.start()
    server.execute(ACCOUNTS)
    return server


@pytest.mark.fault("DB19")
async def test_a_good_certificate(
    new_server: NewMariaDB | NewPostgreSQL, authority: Authority
) -> None:
    """A certificate of the configured authority for the configured host: right answers, encrypted
    ones."""
    server = begun(new_server, authority.issue("good", "IP:127.0.0.1"))
    if isinstance(server, MariaDB):
        server.execute(f"ALTER USER {server.user}@'%' REQUIRE SSL")
    async with asking(server, tls=TlsOptions(ca=str(authority.cert))) as ask:
        assert all(answer.right for answer in await ask.everything())
        if not isinstance(server, MariaDB):
            join = "pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            sql = f"SELECT DISTINCT ssl FROM {join} WHERE usename = '{server.user}'"
            assert server.execute(sql) == ["t"]
        disconnect(server)
        assert (await ask(KNOWN)).right


@pytest.mark.fault("DB19")
async def test_certificates_that_do_not_hold(
    new_server: NewMariaDB | NewPostgreSQL, authority: Authority
) -> None:
    """Expired, another authority's, another host's, none at all: no connection at start, DENYSOFT
    while we run, and right within 2 s after the good one is back."""
    stranger = Authority(authority.folder, "stranger").found()
    good = authority.issue("good", "IP:127.0.0.1")
    bad = {
        "expired": authority.issue("expired", "IP:127.0.0.1", days=-1),
        "another authority": stranger.issue("strange", "IP:127.0.0.1"),
        "another host": authority.issue("other", "DNS:other.example"),
        "no TLS at all": None,
    }
    server = begun(new_server, good)
    async with asking(server, tls=TlsOptions(ca=str(authority.cert))) as ask:
        assert (await ask(KNOWN)).right
        for why, tls in bad.items():
            wears(server, tls)
            answers = await ask.everything()
            assert all(answer.soft for answer in answers), (why, answers)
            with pytest.raises(Unavailable):
                async with asking(server, tls=TlsOptions(ca=str(authority.cert))):
                    pass
        wears(server, good)
        assert await ask.until_right() <= BACK


def wears(server: DatabaseServer, tls: Tls | None) -> None:
    """Restart ``server`` with another certificate, or without one."""
    server.stop()
    server.options = server.tls_options(tls) if tls else []
    server.start()


@pytest.mark.fault("DB19")
async def test_the_name_is_that_of_the_configuration(
    new_server: NewMariaDB | NewPostgreSQL, authority: Authority
) -> None:
    """The certificate must be for the name that was configured, not for the address it led to."""
    tls = TlsOptions(ca=str(authority.cert))
    server = begun(new_server, authority.issue("named", "DNS:localhost"))
    async with asking(server, hosts=(("localhost", server.port),), tls=tls) as ask:
        assert (await ask(KNOWN)).right
    with pytest.raises(Unavailable):
        async with asking(server, tls=tls):
            pass
