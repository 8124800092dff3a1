"""What the SQL directory is told: plain values, filled in by the composition root.

An empty string means "not given" throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """TLS to the database, always verified: ``ca`` (empty: the system's), client ``cert``, ``key``.

    All three are paths of PEM files.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class SqlOptions:
    """Where the accounts are, and under which names.

    ``hosts`` are (name or address, port or None), tried in turn. ``lookup_timeout`` is in seconds;
    ``connections`` is the number of connections held for the whole process.
    """

    driver: str
    database: str
    email_table: str
    domain_table: str
    domain_domain: str
    user: str = ""
    password: str = field(default="", repr=False)
    hosts: tuple[tuple[str, int | None], ...] = ()
    socket: str = ""
    tls: TlsOptions | None = None
    email_address: str = ""
    email_user: str = ""
    email_domain: str = ""
    email_enabled: str = ""
    email_enabled_value: str = ""
    connections: int = 4
    stored_canonical: bool = False
    lookup_timeout: float = 3.0
