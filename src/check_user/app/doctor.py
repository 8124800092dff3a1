"""The doctor: everything that can be found out about a configuration without serving it.

The file and its rights, the doors and who may go through them, the gateway's files and its queue;
then the database, of which the directory knows more (:func:`check_user.directory.sql.examine`).
"""

from __future__ import annotations

import os
import pwd
import socket
import stat
from pathlib import Path

from check_user.app.build import source_of, sql_options
from check_user.app.doors import SMTP, Door, doors_of
from check_user.app.gateway import examine_gateway
from check_user.config import ConfigError, Secret, Settings, load
from check_user.directory import Finding, Level
from check_user.directory.replica import Unusable, open_generation, read_since
from check_user.directory.sql import examine as examine_sql
from check_user.servers.listen import Endpoint, ListenError, Unix, bind

MAIL_USERS = ("postfix", "Debian-exim", "exim", "qpsmtpd", "smmsp", "opensmtpd", "haraka")
"""The names under which mail servers run in the distributions."""


async def examine(path: Path) -> list[Finding]:
    """Examine the configuration in ``path``; the findings are in the order of a lookup's way."""
    try:
        settings = load(path)
        doors = doors_of(settings)
    except ConfigError as error:
        return [Finding(Level.ERROR, "configuration", str(error), "correct it")]
    findings = [Finding(Level.OK, "configuration", f"{path} can be used")]
    findings += _secrecy(settings)
    for door in doors:
        findings += await _door(door)
    if any(door.name == SMTP for door in doors):
        findings += await _gateway(settings)
    findings += _replica(settings)
    return findings + await examine_sql(sql_options(settings))


async def _gateway(settings: Settings) -> list[Finding]:
    """Tell whether qpsmtpd's files can be used, and whether the queue takes mail."""
    subject = "gateway"
    try:
        doubts, problem = await examine_gateway(settings)
    except ConfigError as error:
        return [Finding(Level.ERROR, subject, str(error), "correct it")]
    folder = settings.file.absolute().parent
    findings = [Finding(Level.OK, subject, f"{folder / 'plugins'} can be used")]
    advice = "add a line for it, check_user before rcpt_ok, unless it is meant so"
    findings += [Finding(Level.WARNING, subject, doubt, advice) for doubt in doubts]
    if problem:
        findings.append(Finding(Level.WARNING, subject, problem, "mail gets 451 until it's there"))
    return findings


def _replica(settings: Settings) -> list[Finding]:
    """Tell whether the replica can be used, if there is to be one."""
    if not settings.replica:
        return []
    path = Path(settings.replica)
    try:
        generation = open_generation(path)
    except Unusable as error:
        level = Level.ERROR if path.exists() else Level.WARNING
        advice = "check-user replica build, in a folder that is ours alone to write"
        return [Finding(level, "replica", str(error), advice)]
    generation.close()
    refused = read_since(path, generation.meta).refused
    if refused:
        return [Finding(Level.WARNING, "replica", f"the last listing was refused: {refused}")]
    if generation.meta.source != source_of(sql_options(settings)):
        message = f"{path} was listed from another source; serve will list it anew"
        return [Finding(Level.WARNING, "replica", message)]
    return [
        Finding(Level.OK, "replica", f"{path} is whole: {generation.meta.recipients} recipients")
    ]


def _secrecy(settings: Settings) -> list[Finding]:
    """Tell whether others can read the password."""
    key = "passwd_file" if settings.passwd_file else "passwd"
    file = Path(settings.passwd_file) if settings.passwd_file else settings.file
    if settings.passwd == Secret():
        return []
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & stat.S_IROTH:
        message = f"every user of this machine can read the password in {file}"
        return [Finding(Level.WARNING, key, message, f"chmod o-rwx {file}")]
    return [Finding(Level.OK, key, f"{file} is not open to every user (mode {mode:04o})")]


async def _door(door: Door) -> list[Finding]:
    subject, address = f"door {door.name}", door.listen.address
    try:
        listener = await bind(door.endpoint)
    except ListenError as error:
        if not _is_served(door.endpoint):
            return [Finding(Level.ERROR, subject, str(error), "correct listen=")]
        findings = [
            Finding(Level.OK, subject, f"{address} is open already (by check_user, if it runs)")
        ]
        path = door.endpoint.path if isinstance(door.endpoint, Unix) else ""
        return findings + (_who_may_connect(subject, path) if path else [])
    try:
        findings = [Finding(Level.OK, subject, f"{address} can be opened")]
        return findings + (_who_may_connect(subject, listener.path) if listener.path else [])
    finally:
        listener.close()


def _is_served(endpoint: Endpoint) -> bool:
    """Whether somebody answers there: then it can't be bound, and that is no error."""
    if isinstance(endpoint, Unix):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(endpoint.path) == 0
    try:
        socket.create_connection((endpoint.host or "localhost", endpoint.port), 1).close()
    except OSError:
        return False
    return True


def _who_may_connect(subject: str, path: str) -> list[Finding]:
    """Tell which of the mail servers' users here may connect to the socket at ``path``."""
    present = [user for user in pwd.getpwall() if user.pw_name in MAIL_USERS]
    if not present:
        return []
    may = [user.pw_name for user in present if _may_connect(user, path)]
    if may:
        return [Finding(Level.OK, subject, f"{path} may be used by {', '.join(may)}")]
    names = ", ".join(user.pw_name for user in present)
    message = f"none of the mail servers' users here ({names}) may connect to {path}"
    advice = "socket_group= one of their groups, and a folder that they can enter"
    return [Finding(Level.WARNING, subject, message, advice)]


def _may_connect(user: pwd.struct_passwd, path: str) -> bool:
    """Whether ``user`` may write to the socket and enter every folder on the way to it."""
    groups = set(os.getgrouplist(user.pw_name, user.pw_gid))

    def has(file: Path, right: int) -> bool:
        found = file.stat()
        if found.st_uid == user.pw_uid:
            return bool(found.st_mode & right << 6)
        if found.st_gid in groups:
            return bool(found.st_mode & right << 3)
        return bool(found.st_mode & right)

    socket_file = Path(path)
    return has(socket_file, 2) and all(has(folder, 1) for folder in socket_file.parents)
