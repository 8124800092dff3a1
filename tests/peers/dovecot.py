"""Dovecot's LMTP server from Debian's packages, unpacked: nothing is installed.

Its programs and modules have their paths compiled in, so in its mount namespace the package's
``usr`` lies over the host's. It is reached through a unix socket or a TCP port, knows the users of
one file, and delivers to a maildir each. Reads its settings as any account, delivers as nobody.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.peers.namespace import in_namespace
from tests.peers.packages import unpacked
from tests.peers.process import Server, free_port

PACKAGES = ("dovecot-core", "dovecot-lmtpd", "liblua5.4-0", "libexttextcat-2.0-0")
NOBODY = 65534
OVERLAY = 'mount -t overlay overlay -o lowerdir="$1/usr":/usr /usr; shift; exec "$@"'
"""The host's programs and libraries stay in sight; nothing can be written."""

CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = daemon
protocols = lmtp
listen = 127.0.0.1
ssl = no
mail_location = maildir:{folder}/mail/%n
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
service lmtp {{
  unix_listener lmtp.sock {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


class Dovecot(Server):
    """One instance; ``users`` are addresses whose local parts differ."""

    def __init__(self, folder: Path, users: Sequence[str], settings: str = "") -> None:
        super().__init__(folder)
        self.port = free_port()
        self.socket = folder / "run" / "lmtp.sock"
        self.tree = unpacked(*PACKAGES)
        self.file = folder / "dovecot.conf"
        self.file.write_text(CONFIGURATION.format(folder=folder, port=self.port) + settings)
        lines = [f"{user}:{{PLAIN}}x:{NOBODY}:{NOBODY}::{folder}/mail::\n" for user in users]
        (folder / "users").write_text("".join(lines))
        mail = folder / "mail"
        mail.mkdir()
        shutil.chown(mail, NOBODY, NOBODY)

    def command(self) -> list[str]:
        dovecot = ["/usr/sbin/dovecot", "-F", "-c", str(self.file)]
        return in_namespace(["sh", "-ec", OVERLAY, "sh", str(self.tree), *dovecot], {})

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.socket))
                return probe.recv(100).startswith(b"220 ")
            except OSError:
                return False

    def delivered(self, user: str) -> list[bytes]:
        """What has been delivered to a user: when LMTP has said 250, it is there."""
        files = (self.folder / "mail" / user.partition("@")[0] / "new").glob("*")
        return [file.read_bytes() for file in files]

    def log_end(self) -> str:
        own = self.folder / "dovecot.log"
        log = own.read_text(errors="replace") if own.exists() else ""
        return super().log_end() + "\n".join(log.splitlines()[-20:])
