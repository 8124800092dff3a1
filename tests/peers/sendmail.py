"""Sendmail 8.17 from Debian's packages, unpacked: nothing is installed.

sendmail.cf is made by m4 from Debian's own macros. In the server's namespace the host has a name
with a dot, and ``/run/check_user`` lies below no folder that others may write to, as Sendmail wants
it (the tests' own folder lies in /tmp). Accepted mail stays in the queue.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.peers.namespace import HOST, in_namespace
from tests.peers.packages import unpacked
from tests.peers.process import Server, free_port, program
from tests.peers.smtp import OUR_DOMAINS, RELAY_CLIENT, Session

MACROS = """\
include(`{cf}/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confPID_FILE', `{folder}/pid')dnl
define(`STATUS_FILE', `{folder}/statistics')dnl
define(`HELP_FILE', `/dev/null')dnl
define(`QUEUE_DIR', `{folder}/queue')dnl
define(`ALIAS_FILE', `')dnl
define(`confDOMAIN_NAME', `{host}')dnl
define(`confCW_FILE', `-o {folder}/cw')dnl
define(`confCR_FILE', `-o {folder}/cr')dnl
define(`confTO_IDENT', `0')dnl
define(`confSERVICE_SWITCH_FILE', `{folder}/service.switch')dnl
define(`confDONT_PROBE_INTERFACES', `true')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
define(`confLOG_LEVEL', `0')dnl
define(`confDELIVERY_MODE', `queue')dnl
RELAY_DOMAIN(`{domains}')dnl
RELAY_DOMAIN(`{relay_client}')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
DAEMON_OPTIONS(`Name=MTA, Family=inet, Addr=127.0.0.1, Port={port}')dnl
{macros}
MAILER(`local')dnl
MAILER(`smtp')dnl
"""


class Sendmail(Server):
    """One instance; ``macros`` stand before its mailers, ``run`` is its /run/check_user."""

    def __init__(self, folder: Path, macros: str, run: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        tree = unpacked("sendmail-bin", "sendmail-cf")
        self.program = tree / "usr/libexec/sendmail/sendmail"
        self.seen = {"/run/check_user": run}
        (folder / "queue").mkdir(mode=0o700)
        (folder / "service.switch").write_text("hosts files\naliases files\n")
        cf = tree / "usr/share/sendmail/cf"
        source = folder / "sendmail.mc"
        source.write_text(
            MACROS.format(
                cf=cf,
                folder=folder,
                host=HOST,
                domains=" ".join(OUR_DOMAINS),
                relay_client=RELAY_CLIENT,
                port=self.port,
                macros=macros,
            )
        )
        self.file = folder / "sendmail.cf"
        with self.file.open("wb") as out:
            command = [program("m4", "m4"), f"-D_CF_DIR_={cf}/", str(source)]
            subprocess.run(command, stdout=out, check=True)

    def with_arguments(self, *arguments: str) -> list[str]:
        """The command line of Sendmail with this configuration."""
        return in_namespace([str(self.program), "-C", str(self.file), *arguments], self.seen)

    def command(self) -> list[str]:
        return self.with_arguments("-bD")

    def answers(self) -> bool:
        try:
            with Session(self.port) as session:
                return session.greeting[0] == 220
        except OSError:
            return False
