"""The demo's parts: a sample database, and a configuration that opens every door beside it; behind
the gateway a maildir.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path

from check_user.directory.sql import create_sample
from check_user.directory.sql.sample import DOMAINS

PORTS = {
    "smtp": 2525,
    "policy": 10040,
    "socketmap": 10041,
    "line": 10042,
    "tcp_table": 10043,
    "milter": 10044,
    "exim": 10045,
}
"""Where each door is on the loopback interface, or the next free port."""


GATEWAY = {
    "plugins": "# The gateway's plugins, in qpsmtpd's own format.\n"
    "check_user\nrcpt_ok\nqueue/maildir mail\n",
    "rcpthosts": "".join(f"{domain}\n" for domain in DOMAINS),
    "me": "demo.example\n",
}
"""The gateway's files: who is asked about a recipient, which domains are ours, our name."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What was prepared: the configuration's file, the database's, and each door's TCP port."""

    config: Path
    database: Path
    ports: dict[str, int]


def prepare_demo(folder: Path) -> Demo:
    """Write the sample database and its configuration into ``folder``, which is empty."""
    database = folder / "accounts.sqlite"
    asyncio.run(create_sample(database))
    ports: dict[str, int] = {}
    for door, port in PORTS.items():
        ports[door] = _free_port(max([port, *(taken + 1 for taken in ports.values())]))
    listen = [
        line
        for door, port in ports.items()
        for line in (f"{door} inet:127.0.0.1:{port}", f"{door} unix:{folder / door}.sock")
    ]
    for name, text in GATEWAY.items():
        (folder / name).write_text(text, encoding="utf-8")
    config = folder / "check_user.conf"
    lines = [
        "# The demo's configuration: a SQLite database and every door.",
        "driver=sqlite",
        f"database={database}",
        "email_table=emailtable",
        "email_user=local_part",
        "email_domain=domain",
        "email_enabled=is_enabled",
        "email_enabled_value=yes",
        "domain_table=domaintable",
        "domain_domain=domain",
        *(f"listen={each}" for each in listen),
    ]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Demo(config, database, ports)


def _free_port(first: int) -> int:
    """Find the first port from ``first`` on that can be bound on 127.0.0.1."""
    for port in range(first, 65536):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError("no port is free on 127.0.0.1")
