"""The mail servers that decide about a recipient at RCPT TO: check_user's gateway, and its peers.

======================  ==========================================================================
:class:`Gateway`        ``listen=smtp`` with ``queue/maildir``; SQLite or MariaDB
:class:`QpsmtpdDbi`     qpsmtpd 0.94, prefork, with the plugin ``peers/rcpt_dbi``
:class:`HarakaMysql`    Haraka 3.3 with the plugin ``peers/rcpt_mysql.js`` and npm's mysql2
:class:`EximMysql`      Exim 4.96, its own lookup in the ACL ``peers/exim.conf``
:class:`LiftedPostfix`  Postfix 3.7, whose tables and check somebody else says, ``peers/main.cf``
:class:`PostfixMysql`   the same with its own ``mysql:`` map
:class:`BareProtocol`   ``bench.bare``: the least that Python does for RCPT
:class:`NullServer`     ``nullserver.c``: what the load generator can do at most
======================  ==========================================================================

The peers are those of the tests (``tests/peers``) with other settings: every limit of a session, a
client or the whole server is lifted, nobody writes a log line for a recipient, nobody asks the DNS
about clients, and TLS isn't offered. Each peer knows its domains from its own configuration and
asks MariaDB, by its socket, one question a recipient.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench import accounts
from bench.contenders import PLAIN_TABLES
from bench.databases import Database
from bench.maps import ONE_QUESTION, mysql_map
from tests.peers import haraka
from tests.peers.check_user import CheckUser
from tests.peers.database import DATABASE, PASSWORD, USER
from tests.peers.exim import Exim
from tests.peers.haraka import Haraka
from tests.peers.namespace import HOST
from tests.peers.packages import unpacked
from tests.peers.postfix import Postfix
from tests.peers.process import Server, free_port, program
from tests.peers.qpsmtpd import Qpsmtpd
from tests.peers.smtp import Session

FILES = Path(__file__).parent / "peers"

PROCESSES = len(os.sched_getaffinity(0))
"""Of the gateway, by its own default, and of the bare protocol."""

POOL = 16
"""Haraka's connections to MariaDB, one for each session. The others have one for each process."""

LISTED = "reject_unlisted_recipient"
"""Postfix's restriction that asks its tables of recipients."""

LOG_EMERGENCY = "0"
"""qpsmtpd's loglevel LOGEMERG."""


def account(socket: str) -> dict[str, str]:
    """What the files below ``peers/`` are told about MariaDB."""
    return {"socket": socket, "database": DATABASE, "user": USER, "password": PASSWORD}


def versions(exim: EximMysql) -> list[str]:
    """The peers' versions, and of what they ask MariaDB with."""
    npm = {
        name: haraka.installed(folder) / name / "package.json"
        for name, folder in (("Haraka", haraka.PINNED), ("mysql2", FILES / "npm"))
    }
    perl = "use Qpsmtpd; use DBD::mysql; print 'qpsmtpd ', Qpsmtpd->version, ', DBD::mysql ', "
    return [
        _says("perl", "-e", f"{perl}DBD::mysql->VERSION, ', Perl ', $^V"),
        *(f"{name} {json.loads(file.read_text())['version']}" for name, file in npm.items()),
        f"Node.js {_says('node', '--version')}",
        "Exim " + _says(*exim.with_arguments("-bV")).split()[2],
        f"Postfix {postfix_version()}",
    ]


def postfix_version() -> str:
    """As Postfix says it."""
    return _says("postconf", "-hd", "mail_version")


def _says(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def greets(port: int) -> bool:
    """Whether a mail server says 220."""
    try:
        with Session(port, limit=1) as session:
            return session.greeting[0] == 220
    except OSError:
        return False


class Gateway(CheckUser):
    """``check-user serve`` with the ``smtp`` door; accepted mail would go to a maildir.

    ``stored_form=canonical`` says what is true of the bench's accounts, and what the peers take
    for granted when they ask.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.port = free_port()
        line = folder / "line"
        settings = {
            **database.settings,
            **PLAIN_TABLES,
            "stored_form": "canonical",
            "log_level": "warning",
            "smtp_max_recipients": "1000000",
            "smtp_max_unknown": "1000000000",
            "smtp_max_errors": "1000000000",
            "smtp_max_commands": "1000000000",
            "smtp_max_per_network": "0",
        }
        lines = [f"{key}={value}" for key, value in settings.items()]
        lines += [f"listen=line unix:{line}", f"listen=smtp inet:127.0.0.1:{self.port}"]
        files = {
            "plugins": "check_user\nrcpt_ok\nqueue/maildir mail",
            "rcpthosts": accounts.ABOVE,
            "me": "mx.example",
        }
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")
        super().__init__(folder, "\n".join(lines) + "\n", line)


class QpsmtpdDbi(Qpsmtpd):
    """Forty children, twenty of them idle, each with a connection to MariaDB.

    ``rcpthosts`` is one suffix, since ``rcpt_ok`` reads the list from top to bottom each time.
    """

    def __init__(self, folder: Path, socket: str) -> None:
        arguments = " ".join(account(socket).values())
        plugins = f"rcpt_dbi {arguments}\nrcpt_ok"
        super().__init__(folder, "prefork", plugins, plugin_files=[FILES / "rcpt_dbi"])
        for name, text in {"loglevel": LOG_EMERGENCY, "rcpthosts": accounts.ABOVE}.items():
            (folder / "config" / name).write_text(f"{text}\n")

    def command(self) -> list[str]:
        children = ["--children", "40", "--idle-children", "20", "--max-from-ip", "200"]
        return [*super().command(), *children]  # the last of two is taken


class HarakaMysql(Haraka):
    """One process (``nodes=0``) with one plugin."""

    def __init__(self, folder: Path, socket: str) -> None:
        super().__init__(folder, Path(__file__).parents[1] / "contrib" / "haraka", folder)
        (folder / "plugins" / "rcpt_mysql.js").write_text((FILES / "rcpt_mysql.js").read_text())
        pool = {
            "socketPath": socket,
            "database": DATABASE,
            "user": USER,
            "password": PASSWORD,
            "connectionLimit": POOL,
        }
        settings = {
            "plugins": "rcpt_mysql",
            "log.ini": "[main]\nlevel=error",
            "rcpt_mysql.json": json.dumps(pool),
        }
        for name, text in settings.items():
            (folder / "config" / name).write_text(f"{text}\n")

    def command(self) -> list[str]:
        return [program("node", "nodejs"), str(self.program), "-c", str(self.folder)]

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "NODE_PATH": str(haraka.installed(FILES / "npm"))}


class EximMysql(Exim):
    """Debian's heavy package, which has the lookup; a process and a connection for each session."""

    def __init__(self, folder: Path, socket: str) -> None:
        super().__init__(folder, "", folder)
        self.program = unpacked("exim4-daemon-heavy") / "usr/sbin/exim4"
        text = (FILES / "exim.conf").read_text()
        self.file.write_text(
            text.format(
                host=HOST,
                spool=folder / "spool",
                program=self.program,
                port=self.port,
                **account(socket),
            )
        )


class LiftedPostfix(Postfix):
    """Postfix without limits, which has ``domains`` and ``recipients`` (tables) and asks ``check``
    (a restriction); smtpd and trivial-rewrite not chrooted, so that any socket can be reached."""

    def __init__(self, folder: Path, domains: str, recipients: str, check: str) -> None:
        settings = (FILES / "main.cf").read_text()
        super().__init__(
            folder, settings.format(domains=domains, recipients=recipients, check=check)
        )
        master = folder / "etc" / "master.cf"
        master.write_text(master.read_text().replace(" y - - ", " n - - "))


class PostfixMysql(LiftedPostfix):
    """Its own ``mysql:`` map at its best: domains from a file, a question a recipient."""

    def __init__(self, folder: Path, socket: str) -> None:
        domains = folder / "domains"
        domains.write_text("".join(f"{each} ours\n" for each in accounts.domains()))
        users = mysql_map(folder, "users", socket, ONE_QUESTION)
        super().__init__(folder, f"texthash:{domains}", users, LISTED)


class BareProtocol(Server):
    """It, with as many processes as the gateway has."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._number = number

    def command(self) -> list[str]:
        arguments = [str(each) for each in (self.port, self._number, PROCESSES)]
        return [sys.executable, "-m", "bench.bare", *arguments]

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    def answers(self) -> bool:
        return greets(self.port)


class NullServer(Server):
    """``binary`` is the compiled ``nullserver.c``."""

    def __init__(self, folder: Path, binary: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._binary = binary

    def command(self) -> list[str]:
        return [str(self._binary), "smtp", str(self.port)]

    def answers(self) -> bool:
        return greets(self.port)
