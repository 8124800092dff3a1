"""Exim 4.96 from Debian's package, unpacked: nothing is installed.

Its account, Debian-exim, is compiled in; in the namespace of the server there is one. Accepted mail
is discarded, or kept in a maildir to be counted, or sent on. The rest is Exim's own default
configuration, as far as it is about RCPT. It delivers without root's rights, which it would need a
set-uid bit for.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from tests.peers.namespace import HOST, in_namespace
from tests.peers.packages import unpacked
from tests.peers.process import STOP_LIMIT, Server, free_port, wait_until
from tests.peers.smtp import OUR_DOMAINS, RELAY_CLIENT, Session

OWNER = "Debian-exim"
CONFIGURATION = """\
primary_hostname = {host}
domainlist local_domains = @
domainlist relay_to_domains = {domains}
hostlist relay_from_hosts = {relay_client}
acl_smtp_rcpt = acl_check_rcpt
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
pid_file_path = {folder}/spool/exim.pid
exim_path = {program}
notifier_socket =
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
tls_advertise_hosts =
smtputf8_advertise_hosts = *
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 100
smtp_max_unknown_commands = 100
smtp_accept_queue_per_connection = 0
deliver_drop_privilege = true
keep_environment =

begin acl

acl_check_rcpt:
  accept
    hosts = :

{acl}

  accept
    hosts = +relay_from_hosts
    control = submission

  require
    message = relay not permitted
    domains = +local_domains : +relay_to_domains

  accept

begin routers

{routers}
"""
DISCARD = """
everybody:
  driver = redirect
  data = :blackhole:
"""
KEEP = """
everybody:
  driver = accept
  transport = keep

begin transports

keep:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
  envelope_to_add
  return_path_add
"""
SEND = """
everybody:
  driver = manualroute
  route_list = * 127.0.0.1 byname
  self = send
  transport = send

begin transports

send:
  driver = smtp
  port = {port}
"""


class Exim(Server):
    """One instance; ``acl`` is what comes first in the RCPT ACL, ``run`` is its /run/check_user.

    With ``keeps`` accepted mail lies in a maildir, ``mail``; with ``sends_to`` it goes to that
    port of 127.0.0.1.
    """

    def __init__(
        self, folder: Path, acl: str, run: Path, *, keeps: bool = False, sends_to: int = 0
    ) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.program = unpacked("exim4-daemon-light") / "usr/sbin/exim4"
        account = pwd.getpwnam("nobody")
        for name in ("spool", "mail"):
            (folder / name).mkdir()
            os.chown(folder / name, account.pw_uid, account.pw_gid)
        spool = folder / "spool"
        routers = SEND if sends_to else KEEP if keeps else DISCARD
        self.main_log = spool / "mainlog"
        self.file = folder / "exim.conf"
        self.file.write_text(
            CONFIGURATION.format(
                host=HOST,
                domains=" : ".join(OUR_DOMAINS),
                relay_client=RELAY_CLIENT,
                folder=folder,
                program=self.program,
                port=self.port,
                acl=acl,
                routers=routers.format(folder=folder, port=sends_to),
            )
        )
        self.seen = {"/run/check_user": run}
        for file, ids in (
            ("passwd", f"{account.pw_uid}:{account.pw_gid}::/nonexistent:/bin/false"),
            ("group", f"{account.pw_gid}:"),
        ):
            copy = folder / file
            copy.write_text(Path("/etc", file).read_text() + f"{OWNER}:x:{ids}\n")
            self.seen[f"/etc/{file}"] = copy

    def with_arguments(self, *arguments: str) -> list[str]:
        """The command line of Exim with this configuration."""
        return in_namespace([str(self.program), "-C", str(self.file), *arguments], self.seen)

    def command(self) -> list[str]:
        return self.with_arguments("-bdf")

    def answers(self) -> bool:
        try:
            with Session(self.port) as session:
                return session.greeting[0] == 220
        except OSError:
            return False

    def queued(self) -> bool:
        """Whether there is mail that hasn't been delivered."""
        return any((self.folder / "spool" / "input").glob("*-H"))

    def work_off(self) -> None:
        """Wait until every mail has been delivered."""
        assert wait_until(lambda: not self.queued(), STOP_LIMIT), self.log_end()

    def log_end(self) -> str:
        main_log = self.main_log.read_text() if self.main_log.exists() else ""
        return super().log_end() + "\n".join(main_log.splitlines()[-20:])
