"""Every key of the configuration, declared once: its name, type, default and sentence.

The class :class:`Settings` is the declaration; the loader, ``check-user config``, its
``--reference`` and ``docs/configuration.md`` are all made from it.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from check_user.config import values
from check_user.config.dbi import parse_driver
from check_user.config.values import Host, Listen, Named, ReplyCode, Secret, Type
from check_user.verdict import Replies, Reply

REQUIRED = object()
"""The default of a key that must be in the file."""

UNKNOWN, DISABLED, REFUSED, BUSY, FULL = Replies()


@dataclass(frozen=True, slots=True)
class Key:
    """The declaration of one key. ``default_text`` is for people where the default has a rule."""

    name: str
    group: str
    type: Type[Any]
    default: Any
    sentence: str
    default_text: str
    repeatable: bool


def key(
    type_: Type[Any],
    sentence: str,
    default: Any = REQUIRED,
    *,
    group: str = "",
    default_text: str = "",
    repeatable: bool = False,
) -> Any:
    """Declare a field of :class:`Settings`; a ``group`` holds until the next one."""
    return dataclasses.field(
        metadata={
            "type": type_,
            "sentence": sentence,
            "default": default,
            "group": group,
            "default_text": default_text,
            "repeatable": repeatable,
        }
    )


def _code(reply: Reply) -> Any:
    return ReplyCode(reply.code, reply.enhanced)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole configuration, checked: what can be known to be wrong without asking anybody isn't.

    ``host``, ``port`` and ``socket`` include what ``database`` said in DBI's way; ``passwd``
    includes what ``passwd_file`` held; of ``email_address`` and ``email_user`` with
    ``email_domain`` one is empty, and all names of tables are with ``schema`` or ``email_query``;
    ``tls`` is ``off`` or ``verify``.
    """

    file: Path

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

    recipient_delimiter: str = key(
        values.DELIMITERS,
        "The characters that may begin an address's extension (`user+extension@domain`); empty: "
        "addresses are looked up as they are.",
        "",
        group="The verdict",
    )
    domain_delimiter: tuple[Named, ...] = key(
        values.DOMAIN_DELIMITERS,
        "The `recipient_delimiter` of one domain: `example.org -_`; a domain alone has none. May "
        "be given several times.",
        (),
        repeatable=True,
    )
    check_alias_targets: bool = key(
        values.YES_NO,
        "With `schema`: whether an alias whose destinations are all addresses of ours must lead to "
        "one that is there. Costs a lookup more for each alias.",
        False,
    )
    mode: str = key(
        values.choice("enforce", "dry_run"),
        "With `dry_run` nobody is refused: the answer is as if nobody were asked, and the log says "
        "what it would have been.",
        "enforce",
    )
    dry_run_domains: tuple[str, ...] = key(
        values.DOMAINS, "The domains in which nobody is refused, as with `mode=dry_run`.", ()
    )
    code_unknown: ReplyCode = key(  # noqa: RUF009 - as above
        values.reply_code(5, 4), "The reply to a recipient who isn't there.", _code(UNKNOWN)
    )
    text_unknown: str = key(
        values.REPLY_TEXT,
        "Its text; `{address}` stands for the address, here and below.",
        UNKNOWN.text,
    )
    code_disabled: ReplyCode = key(  # noqa: RUF009 - as above
        values.reply_code(5, 4, 2),
        "The reply to one who is switched off or expired. With a 2xx here or below he is taken.",
        _code(DISABLED),
    )
    text_disabled: str = key(values.REPLY_TEXT, "Its text.", DISABLED.text)
    code_refused: ReplyCode = key(  # noqa: RUF009 - as above
        values.reply_code(5, 4),
        "The reply to one who is stored in order to be refused.",
        _code(REFUSED),
    )
    text_refused: str = key(values.REPLY_TEXT, "Its text.", REFUSED.text)
    code_busy: ReplyCode = key(  # noqa: RUF009 - as above
        values.reply_code(4, 2),
        "The reply to one who can't take mail for a moment (he is being renamed, ...).",
        _code(BUSY),
    )
    text_busy: str = key(values.REPLY_TEXT, "Its text.", BUSY.text)
    code_full: ReplyCode = key(  # noqa: RUF009 - as above
        values.reply_code(4, 5, 2), "The reply to one whose mailbox is full.", _code(FULL)
    )
    text_full: str = key(values.REPLY_TEXT, "Its text.", FULL.text)
    bounce_forms: tuple[str, ...] = key(
        values.some_of("srs", "batv"),
        "The forms that this site's mail system gives to senders, so that their bounces come back: "
        "at a domain of ours `srs` lets `SRS0=...` and `SRS1=...` through to the mail server, "
        "which alone can tell whether they are genuine (let it refuse those that aren't); `batv` "
        "looks for `anna` in `prvs=TAG=anna`. Empty: they are looked up as they are.",
        (),
    )
    lookup_timeout: float = key(
        values.seconds(0.5, 60), "The whole lookup's deadline, in seconds.", 3.0
    )

    replica: str = key(
        values.SOCKET,
        "The file of the local replica: known recipients are answered from it, and all are while "
        "the database is away (`docs/replica.md`). Its folder must be ours, and nobody else's to "
        "write.",
        "",
        default_text="none: every lookup asks the database",
        group="The replica",
    )
    replica_refresh: float = key(
        values.seconds(1, 86400),
        "Seconds between two listings of the database; more where a listing would otherwise take "
        "over a twentieth of the time.",
        60.0,
    )
    replica_deny_max_age: float = key(
        values.seconds(0, 86400),
        "With the database away: how old a listing may be, in seconds, to refuse whom it doesn't "
        "have. 0: never.",
        300.0,
    )
    replica_accept_max_age: float = key(
        values.seconds(0, 31_536_000),
        "How old a listing may be, in seconds, to accept whom it has.",
        604_800.0,
    )

    listen: tuple[Listen, ...] = key(
        values.LISTEN,
        "A door and where it is open: `policy`, `socketmap`, `tcp_table`, `milter`, `exim` or "
        "`line`, then `inet:HOST:PORT` (`*` is every interface) or `unix:/PATH`. May be given "
        "several times.",
        (Listen("line", "unix:/run/check_user/line.sock"),),
        group="The doors",
        repeatable=True,
    )
    socket_mode: int = key(values.MODE, "The mode of our unix sockets.", 0o660)
    socket_user: str = key(
        values.TEXT, "The owner of our unix sockets.", "", default_text="who runs check_user"
    )
    socket_group: str = key(
        values.TEXT,
        "The group of our unix sockets: usually the mail server's.",
        "",
        default_text="that of who runs check_user",
    )
    workers: int = key(
        values.count(0, 256),
        "Processes that serve, behind the same sockets; one that dies is replaced. 0: one for each "
        "processor.",
        0,
    )
    idle_timeout: float = key(
        values.seconds(1, 604800), "Seconds after which a silent connection is closed.", 3600.0
    )

    smtp_max_message: int = key(
        values.count(65536, 2_147_483_647),
        "Octets of a message that the gateway takes (SIZE), then 552.",
        52_428_800,
        group="The SMTP gateway",
    )
    smtp_max_recipients: int = key(
        values.count(100, 1_000_000), "Recipients of a message, then 452.", 1000
    )
    smtp_max_unknown: int = key(
        values.count(1, 1_000_000_000),
        "Recipients in a session that are refused for good, then 421: nobody guesses his way "
        "through the accounts.",
        20,
    )
    smtp_max_errors: int = key(
        values.count(1, 1_000_000_000), "Other errors in a session, then 421.", 20
    )
    smtp_max_commands: int = key(
        values.count(100, 1_000_000_000), "Commands in a session, then 421.", 100_000
    )
    smtp_max_per_network: int = key(
        values.count(0, 1_000_000),
        "Connections at a time from one network of clients (IPv4: /24, IPv6: /64; ours and relay "
        "clients aside), then 421. 0: no limit.",
        50,
    )
    smtp_max_unknown_per_hour: int = key(
        values.count(0, 1_000_000_000),
        "Recipients in an hour that one such network has refused for good; what would be 5xx is "
        "450 after that, and who exists is taken as ever. 0: no limit.",
        100,
    )
    smtp_session_time: float = key(
        values.seconds(60, 86400),
        "Seconds that a session may last, but for the time in which messages come.",
        600.0,
    )
    smtp_greet_delay: float = key(
        values.seconds(0, 30),
        "Seconds before the greeting; who speaks before it is refused.",
        0.0,
    )
    smtp_proxies: tuple[values.Network, ...] = key(
        values.NETWORKS,
        "The networks of load balancers, whose connections must begin with a PROXY header (v1 or "
        "v2); nobody else's may.",
        (),
    )

    log_level: str = key(
        values.choice("error", "warning", "info", "debug"),
        "What is logged: at `info` a line for each decision, at `warning` the faults alone.",
        "info",
        group="The log",
    )
    log_format: str = key(
        values.choice("auto", "text", "json"),
        "How: `text` for people, `json` for machines, a line each; `auto` is `text` on a terminal.",
        "auto",
    )

    @property
    def hosts(self) -> tuple[tuple[str, int | None], ...]:
        """Every database host with its port, in the order in which they are tried."""
        return tuple((host.name, host.port or self.port) for host in self.host)

    @property
    def processes(self) -> int:
        """How many processes serve."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def crosses_network(self) -> bool:
        """Whether some database host isn't this machine."""
        return any(not host.is_loopback for host in self.host)


def _declared() -> dict[str, Key]:
    group, keys = "", {}
    for field in dataclasses.fields(Settings):
        if field.metadata:
            group = field.metadata["group"] or group
            keys[field.name] = Key(name=field.name, **{**field.metadata, "group": group})
    return keys


KEYS = _declared()
"""Every key by its name, in the order of the declaration."""

LATER = {
    "notify_email": "check_user sends no mail; watch its log",
    "notify_from": "check_user sends no mail; watch its log",
    "notify_from_name": "check_user sends no mail; watch its log",
}
"""Keys that are refused with a reason: not here yet, or db/user's alone."""
