"""Postfix 3.7 with a configuration folder and a queue of its own, beside any other instance.

smtpd and trivial-rewrite run chrooted to the queue, as on Debian. Accepted mail is discarded, or
kept in a maildir to be counted, or sent on. The configuration is dated back: Postfix waits up to
two seconds with a main.cf that is just written. A session may have as many errors as a test needs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.peers.process import STOP_LIMIT, Server, free_port, program, wait_until
from tests.peers.smtp import RELAY_CLIENT, Session

DAEMONS = "/usr/lib/postfix/sbin"
OWNER = "postfix"
GROUP = "postdrop"
QUEUES = ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"]
MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = {owner}
setgid_group = {group}
multi_instance_enable = no
myhostname = mx.example
mydestination =
mynetworks = {relay_client}/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 10000
maillog_file = {folder}/mail.log
maillog_file_prefixes = /
"""
DISCARD = """
default_transport = discard:
relay_transport = discard:
virtual_transport = discard:
"""
SEND = """
relayhost = [127.0.0.1]:{port}
default_transport = smtp
relay_transport = smtp
"""
KEEP = """
virtual_mailbox_domains = ours.example
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
virtual_transport = virtual
"""
NOBODY = 65534
MASTER = """\
127.0.0.1:{port} inet n - y - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - y - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Server):
    """One instance; ``settings`` are main.cf lines, after which accepted mail is discarded.

    With ``keeps`` mail for ours.example, whoever it is for, can be looked at (:meth:`delivered`);
    with ``sends_to`` all mail goes to that port of 127.0.0.1.
    ``queue`` is the folder that relative socket paths start from.
    """

    def __init__(
        self, folder: Path, settings: str, *, keeps: bool = False, sends_to: int = 0
    ) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.queue = folder / "queue"
        self.mail_log = folder / "mail.log"
        self._folders()
        main = MAIN.format(
            folder=folder, daemons=DAEMONS, owner=OWNER, group=GROUP, relay_client=RELAY_CLIENT
        )
        etc = folder / "etc"
        etc.mkdir()
        (etc / "master.cf").write_text(MASTER.format(port=self.port))
        ending = SEND if sends_to else KEEP if keeps else DISCARD
        ending = ending.format(folder=folder, nobody=NOBODY, port=sends_to)
        (etc / "main.cf").write_text(main + settings + ending)
        os.utime(etc / "main.cf", (1e9, 1e9))

    def command(self) -> list[str]:
        return [program("master", "postfix", DAEMONS), "-c", str(self.folder / "etc"), "-s"]

    def answers(self) -> bool:
        try:
            with Session(self.port) as session:
                return session.greeting[0] == 220
        except OSError:
            return False

    def delivered(self) -> list[bytes]:
        """What has been delivered when the queue is empty: a copy for each recipient."""
        self.work_off()
        return [file.read_bytes() for file in (self.folder / "mail").glob("all/new/*")]

    def work_off(self) -> None:
        """Wait until every mail has been delivered, refused or deferred."""
        queues = [self.queue / name for name in ("maildrop", "incoming", "active")]
        is_empty = wait_until(
            lambda: not any(file.is_file() for each in queues for file in each.rglob("*")),
            STOP_LIMIT,
        )
        assert is_empty, self.log_end()

    def log_end(self) -> str:
        mail_log = self.mail_log.read_text() if self.mail_log.exists() else ""
        return super().log_end() + "\n".join(mail_log.splitlines()[-20:])

    def _folders(self) -> None:
        self.queue.mkdir()
        make(self.folder / "data", 0o700, OWNER)
        make(self.folder / "mail", 0o700, "nobody")
        for name in [*QUEUES, "private", "saved", "trace"]:
            make(self.queue / name, 0o700, OWNER)
        make(self.queue / "maildrop", 0o730, OWNER, GROUP)
        make(self.queue / "public", 0o710, OWNER, GROUP)
        make(self.queue / "pid", 0o755, "root")


def make(path: Path, mode: int, owner: str, group: str | None = None) -> None:
    """Make a folder with an owner; ``mode`` whatever the umask."""
    path.mkdir()
    path.chmod(mode)
    shutil.chown(path, owner, group)
