"""The keys that say where the accounts are: the database, and the tables in it."""

from __future__ import annotations

from dataclasses import dataclass

from check_user.config import values
from check_user.config.dbi import parse_driver
from check_user.config.declaring import key
from check_user.config.values import Host, Named, Secret, Type


@dataclass(frozen=True, kw_only=True)
class AccountSettings:
    """``host``, ``port`` and ``socket`` include what ``database`` said in DBI's way; ``passwd``
    includes what ``passwd_file`` held; of ``email_address`` and ``email_user`` with
    ``email_domain`` one is empty, and all names of tables are with ``schema`` or ``email_query``;
    ``tls`` is ``off`` or ``verify``.
    """

    driver: str = key(
        Type("name", parse_driver),
        "The database's driver: `mysql` (or `MariaDB`), `postgresql` (or `Pg`), `sqlite` (or "
        "`SQLite`), in any case; or an asynchronous SQLAlchemy dialect, as "
        "`oracle+oracledb_async`.",
        group="The database",
    )
    database: str = key(
        values.NAME,
        "The database's name; for SQLite, the file's path. May carry DBI's attributes: "
        "`maildb;host=db1;port=3306;mysql_socket=/run/mysqld/mysqld.sock`.",
    )
    user: str = key(
        values.TEXT,
        "The database user. It needs the right to read (SELECT) and no other.",
        default_text="needed, but for SQLite",
    )
    passwd: Secret = key(  # noqa: RUF009 - key() declares a field, as dataclasses.field() does
        values.SECRET,
        "That user's password; may be empty. Or give `passwd_file`.",
        default_text="needed, but for SQLite",
    )
    passwd_file: str = key(
        values.TEXT,
        "A file whose one line is the password (systemd credentials, container secrets). A "
        "relative path starts at the configuration's folder.",
        "",
    )
    host: tuple[Host, ...] = key(
        values.HOSTS,
        "The database's host, or several, separated by commas and tried in turn; each may have a "
        "port of its own (`db1, db2:3307`).",
        (),
        default_text="the database's unix socket, or this machine",
    )
    port: int | None = key(values.PORT, "The database's port.", None, default_text="the database's")
    socket: str = key(
        values.SOCKET,
        "The database's unix socket (for PostgreSQL its folder), in place of `host`.",
        "",
    )
    tls: str = key(
        values.choice("off", "verify"),
        "Whether to the database TLS is spoken, with its certificate and name verified.",
        "",
        default_text="`verify` for a `host` that isn't this machine; `off` for a unix socket, for "
        "this machine, and for a host named inside `database`, as in 2007",
    )
    tls_ca: str = key(
        values.TEXT,
        "A PEM file with the authorities that may sign the database's certificate.",
        "",
        default_text="the system's",
    )
    tls_cert: str = key(
        values.TEXT, "A PEM file with our certificate, if the database wants one.", ""
    )
    tls_key: str = key(values.TEXT, "A PEM file with the key of `tls_cert`.", "")
    connections: int = key(
        values.count(1, 100), "How many connections to the database are held open.", 4
    )

    schema: str = key(
        values.TEXT,
        "The product whose tables these are, in place of the other names: `postfixadmin`, `vexim`, "
        "`iredmail`, `mailcow`, `modoboa`, `mailinabox`, `ispconfig`, `froxlor`, `vpopmail`, "
        "`mailu` or `ispmail` (docs/schemas.md). `check-user init` tells which.",
        "",
        group="The tables",
    )
    schema_prefix: str = key(values.TEXT, "What the names of the schema's tables begin with.", "")
    schema_table: tuple[Named, ...] = key(
        values.NAMED,
        "Another name for one of the schema's tables: `alias my_aliases`. May be given several "
        "times.",
        (),
        repeatable=True,
    )
    schema_value: tuple[Named, ...] = key(
        values.NAMED,
        "A value that the schema needs of this site: `server_id 1` (ispconfig), `closed_domains "
        "example.org, example.net` (vpopmail). May be given several times.",
        (),
        repeatable=True,
    )
    email_query: str = key(
        values.TEXT,
        "A query in place of all names: it returns the address that is stored, and perhaps its "
        "state in a second column (docs/schemas.md). `:address`, `:user` and `:domain` stand for "
        "what is asked; they are bound, and stand without quotes.",
        "",
    )
    domain_query: str = key(
        values.TEXT,
        "With `email_query`: a query that returns the domain that is stored, and perhaps its "
        "state; `:domain` stands for what is asked.",
        "",
        default_text="needed with `email_query`",
    )
    email_table: str = key(
        values.NAME,
        "The table in which an address is looked up.",
        default_text="needed without `schema` or `email_query`",
    )
    domain_table: str = key(
        values.NAME,
        "The table in which the domain is looked up; may be the same table with another field.",
        default_text="as `email_table`",
    )
    email_address: str = key(
        values.TEXT,
        "The field of `email_table` that holds the whole address. With it, `email_user` and "
        "`email_domain` are ignored.",
        "",
        default_text="needed, or the next two",
    )
    email_user: str = key(
        values.TEXT, "The field of `email_table` that holds the part before the `@`.", ""
    )
    email_domain: str = key(
        values.TEXT, "The field of `email_table` that holds the part after the `@`.", ""
    )
    domain_domain: str = key(
        values.NAME,
        "The field of `domain_table` that holds the domain.",
        default_text="as `email_table`",
    )
    email_enabled: str = key(
        values.TEXT,
        "A field of `email_table`: the row counts only where it has `email_enabled_value`.",
        "",
    )
    email_enabled_value: str = key(
        values.TEXT,
        "The value of `email_enabled` that counts.",
        "",
        default_text="needed with `email_enabled`",
    )
    stored_form: str = key(
        values.choice("any", "canonical"),
        "`canonical` says that every address is stored in its canonical form (lower case, domains "
        "as A-labels): a second look for one stored in another case or form is then left out.",
        "any",
    )

    @property
    def hosts(self) -> tuple[tuple[str, int | None], ...]:
        """Every database host with its port, in the order in which they are tried."""
        return tuple((host.name, host.port or self.port) for host in self.host)

    @property
    def crosses_network(self) -> bool:
        """Whether some database host isn't this machine."""
        return any(not host.is_loopback for host in self.host)
