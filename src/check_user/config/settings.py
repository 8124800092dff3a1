"""Every key of the configuration, declared once: its name, type, default and sentence.

The class :class:`Settings` is the declaration, with :class:`~check_user.config.accounts` for the
database and its tables; the loader, ``check-user config``, its ``--reference`` and
``docs/configuration.md`` are all made from it.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from check_user.config import values
from check_user.config.accounts import AccountSettings
from check_user.config.declaring import Key, key
from check_user.config.values import Listen, Named, ReplyCode
from check_user.verdict import Replies, Reply

UNKNOWN, DISABLED, REFUSED, BUSY, FULL, HARVEST = Replies()


def _code(reply: Reply) -> Any:
    return ReplyCode(reply.code, reply.enhanced)


@dataclass(frozen=True, kw_only=True)
class Settings(AccountSettings):
    """A whole configuration: what can be known to be wrong without asking anybody isn't."""

    file: Path

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
    local_part_case: str = key(
        values.choice("fold", "exact"),
        "Whether case counts in a local part: with `exact`, `Anna@example.org` is another address "
        "than `anna@example.org`, whatever the column's collation says. (Postfix folds what it "
        "looks up in a map; its policy service doesn't.)",
        "fold",
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
    code_harvest: ReplyCode = key(  # noqa: RUF009 - as above
        values.reply_code(4, 5),
        "The SMTP gateway's reply to a network that has had `smtp_max_unknown_per_hour` recipients "
        "refused, in place of every 5xx about a recipient.",
        _code(HARVEST),
    )
    text_harvest: str = key(values.REPLY_TEXT, "Its text.", HARVEST.text)
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
        "`code_harvest` after that, and who exists is taken as ever. 0: no limit.",
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
    def processes(self) -> int:
        """How many processes serve."""
        return self.workers or len(os.sched_getaffinity(0))


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
