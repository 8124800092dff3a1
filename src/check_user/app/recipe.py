"""Recipes: the snippets of ``contrib/``, filled in with a configuration's own doors.

A snippet names its door once in a comment, as the line that the configuration needs, and once
where the mail server reads it, in the mail server's own way of writing::

    #     listen=policy unix:/var/spool/postfix/check_user/policy.sock
    check_user = unix:check_user/policy.sock

Both are replaced by the first door of that name which this mail server can reach; nothing else is
changed. Files that name no door (plugins) are given as they are. The files are part of the package:
``check_user/contrib`` is the folder ``contrib/`` of the source.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from check_user.app.doors import doors_of
from check_user.config import ConfigError, Settings
from check_user.servers.listen import Endpoint, Inet, Unix, parse_endpoint

Write = Callable[[str, Endpoint], str | None]
"""A door's address as a mail server writes it; None where it can't reach such a one."""

QUEUE = "/var/spool/postfix"
"""Postfix's queue_directory, in which it runs chrooted, and where its relative paths begin."""

PROGRAM = "/opt/check_user/bin/check-user"
"""Our own program, as the snippet for OpenSMTPD has it."""

LOOKUP_TIMEOUT = 3.0
"""Seconds: the time limits in the snippets allow for no longer ``lookup_timeout``."""

_LISTEN = re.compile(r"listen=([a-z_]+) ((?:unix:/|inet:)\S+)")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What goes into a mail server's configuration: texts by file name, and what to beware of.

    ``missing`` has the snippets without a door, and the line that the configuration lacks.
    """

    files: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def recipe(settings: Settings, mail_server: str, file: str | None = None) -> Recipe:
    """Fill in the snippets for a key of MAIL_SERVERS whose door is in the configuration.

    Raises ConfigError when that of ``file`` isn't, or none is.
    """
    made = Recipe()
    for name, text in _snippets(mail_server):
        found = _LISTEN.search(text)
        filled = _fill(text, found, settings, mail_server, made.notes) if found else text
        if filled is not None:
            made.files[name] = filled
        elif found:
            made.missing[name] = found[0]
    if file in made.missing or not any(map(_LISTEN.search, made.files.values())):
        lines = [made.missing[file]] if file in made.missing else made.missing.values()
        message = f"no door that {mail_server} can ask: add {' or '.join(dict.fromkeys(lines))}"
        raise ConfigError(settings.file, 0, "listen", message)
    if settings.lookup_timeout > LOOKUP_TIMEOUT:
        made.notes.append(
            f"lookup_timeout={settings.lookup_timeout:g}: the snippets' time limits are for 3 "
            "seconds; raise them as well, or recipients get 4xx before check_user has answered"
        )
    return made


def _snippets(mail_server: str) -> Iterator[tuple[str, str]]:
    folder = resources.files("check_user") / "contrib" / mail_server
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        yield file.name, file.read_text(encoding="utf-8")


def _fill(
    text: str, found: re.Match[str], settings: Settings, mail_server: str, notes: list[str]
) -> str | None:
    """Put the configuration's door where the snippet has its own; None where there is none."""
    door, default = found.groups()
    write = MAIL_SERVERS[mail_server]
    theirs = write(door, parse_endpoint(default)) or ""
    for each in doors_of(settings):
        ours = write(door, each.endpoint) if each.name == door else None
        if ours is None:
            continue
        if mail_server == "postfix" and ours.startswith("unix:/"):
            notes.append(f"{each.listen}: not below {QUEUE}: no smtpd in a chroot can reach it")
        head, rest = text[: found.start()], text[found.end() :]
        filled = f"{head}listen={each.listen}{rest.replace(theirs, ours)}"
        return filled.replace(PROGRAM, _program())
    return None


def _program() -> str:
    """The program that runs, where it is an installed one."""
    installed = Path(sys.prefix, "bin", "check-user")
    return str(installed) if installed.exists() else PROGRAM


def _with_colons(endpoint: Endpoint) -> str:
    """As in ``listen``, with a host to connect to."""
    if isinstance(endpoint, Unix):
        return f"unix:{endpoint.path}"
    host = endpoint.host or "127.0.0.1"
    return f"inet:[{host}]:{endpoint.port}" if ":" in host else f"inet:{host}:{endpoint.port}"


def _postfix(door: str, endpoint: Endpoint) -> str | None:
    written = _with_colons(endpoint)
    if door == "tcp_table":  # tcp_table(5): no unix sockets
        return written.replace("inet:", "tcp:") if isinstance(endpoint, Inet) else None
    return written.replace(f"unix:{QUEUE}/", "unix:")


def _exim(_: str, endpoint: Endpoint) -> str:
    return _with_colons(endpoint).removeprefix("unix:")


def _sendmail(_: str, endpoint: Endpoint) -> str:
    if isinstance(endpoint, Unix):
        return _with_colons(endpoint)
    family = "inet6" if ":" in endpoint.host else "inet"
    return f"{family}:{endpoint.port}@{endpoint.host or '127.0.0.1'}"


def _opensmtpd(_: str, endpoint: Endpoint) -> str:
    return _with_colons(endpoint)


def _path(_: str, endpoint: Endpoint) -> str | None:
    return endpoint.path if isinstance(endpoint, Unix) else None


MAIL_SERVERS: dict[str, Write] = {
    "postfix": _postfix,
    "exim": _exim,
    "sendmail": _sendmail,
    "opensmtpd": _opensmtpd,
    "haraka": _path,
    "qpsmtpd": _path,
}
"""The mail servers that there are recipes for; each is a folder of ``contrib/``."""
