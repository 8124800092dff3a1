"""What the SQL directory is told: plain values, filled in by the composition root.

An empty string means "not given" throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from check_user.directory.schemas import Schema


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
    ``connections`` is the number of connections held for the whole process; with ``keeps_case``,
    case counts in local parts.

    The names of tables and columns are for a directory of two tables. A ``schema`` (with the
    site's ``schema_values``) or an ``email_query`` with a ``domain_query`` takes their place; for
    those alone are ``delimiters`` (that may begin an extension), ``delimiters_at`` (of domains, by
    key, that have their own) and ``check_targets`` (an alias must lead to somebody).
    """

    driver: str
    database: str
    email_table: str = ""
    domain_table: str = ""
    domain_domain: str = ""
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
    schema: Schema | None = None
    schema_values: Mapping[str, str] = field(default_factory=dict)
    email_query: str = ""
    domain_query: str = ""
    delimiters: str = ""
    delimiters_at: Mapping[str, str] = field(default_factory=dict)
    check_targets: bool = False
    keeps_case: bool = False
