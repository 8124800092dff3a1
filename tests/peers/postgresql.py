"""PostgreSQL 15 on a unix socket and a TCP port of 127.0.0.1.

Making a data folder takes 0.6 s and 39 MB, copying it 0.1 s; a start takes 0.1 s. The administrator
is ``postgres``. Over the unix socket every account is trusted; over TCP the password is asked for
(scram-sha-256). The unix socket is ``socket``; libpq's ``host`` for it is ``folder``.

It is ended by SIGINT: on SIGTERM it waits for the clients to leave.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.peers.database import DATABASE, PASSWORD, USER, DatabaseServer, Tls, copy_data
from tests.peers.process import program

BIN = "/usr/lib/postgresql/15/bin"
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "autovacuum": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
}
ACCESS = """\
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


class PostgreSQL(DatabaseServer):
    """One server; ``options`` are settings, ``name=value``."""

    administration = "postgres"
    stop_signal = signal.SIGINT

    def __init__(
        self, folder: Path, *, options: Sequence[str] = (), tls: Tls | None = None
    ) -> None:
        super().__init__(folder, owner="postgres", options=options, tls=tls)
        self.socket = folder / f".s.PGSQL.{self.port}"

    def command(self) -> list[str]:
        settings = [f"{name}={value}" for name, value in SETTINGS.items()]
        settings += [f"listen_addresses={self.host}", *self.options]
        return [
            program("postgres", "postgresql-15", BIN),
            *("-D", str(self.data), "-k", str(self.folder), "-p", str(self.port)),
            *(word for setting in settings for word in ("-c", setting)),
        ]

    def client(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        command = [program("psql", "postgresql-client-15"), "-XqAt", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", str(self.folder), "-p", str(self.port), "-U", "postgres", database]
        environment = {**os.environ, "PGCONNECT_TIMEOUT": "2", "PGCLIENTENCODING": "UTF8"}
        return subprocess.run(
            command, input=sql, capture_output=True, text=True, check=False, env=environment
        )

    def tls_options(self, tls: Tls) -> list[str]:
        files = {"ssl_cert_file": tls.cert, "ssl_key_file": tls.key, "ssl_ca_file": tls.ca}
        copies = [f"{name}={self.own_copy(file, name)}" for name, file in files.items() if file]
        return ["ssl=on", *copies]


class Template:
    """The data folder that every server begins with; made in ``folder``, once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        server = PostgreSQL(folder)
        initdb = [program("initdb", "postgresql-15", BIN), "-D", str(server.data), "-A", "trust"]
        initdb += ["-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8", "--no-instructions"]
        server.initialise(initdb)
        (server.data / "pg_hba.conf").write_text(ACCESS)
        server.start()
        server.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'", "postgres")
        # template1, so that every maildb made later has it
        server.execute(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {USER}", "template1")
        server.execute(f"CREATE DATABASE {DATABASE}", "postgres")
        server.stop()

    def server(
        self, folder: Path, *, options: Sequence[str] = (), tls: Tls | None = None
    ) -> PostgreSQL:
        """A server on a copy, in ``folder``; not started."""
        server = PostgreSQL(folder, options=options, tls=tls)
        copy_data(self.folder, folder)
        return server
