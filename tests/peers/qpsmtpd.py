"""qpsmtpd 0.94, forkserver and prefork, in a folder of its own.

Both ask the DNS for each client's name before they greet, and the option against it is ignored
(forkserver) or isn't there (prefork). So a copy of the script runs that says no to it, in the one
call that asks (``Qpsmtpd::TcpServer::tcpenv``, third argument); nothing else is changed. Its
plugin ``relay`` needs a Perl module that Debian only recommends; three lines stand in for it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.peers.process import Server, free_port, program
from tests.peers.smtp import OUR_DOMAINS, RELAY_CLIENT, Session

OWNER = "qpsmtpd"
PLUGINS = "/usr/share/qpsmtpd/plugins"
ARGUMENTS = {
    "forkserver": ["-l", "127.0.0.1", "-u", OWNER, "-c", "20", "-m", "20", "-p"],
    "prefork": [
        *("--interface", "127.0.0.1", "--user", OWNER, "--max-from-ip", "20"),
        *("--children", "4", "--idle-children", "2", "--port"),
    ],
}
LOG_DEBUG = "7"
RELAY = f"""\
sub hook_connect {{
    my ($self) = @_;
    $self->connection->relay_client(1) if $self->connection->remote_ip eq '{RELAY_CLIENT}';
    return DECLINED;
}}
"""


class Qpsmtpd(Server):
    """One host. ``kind`` is a key of ARGUMENTS; ``plugins`` the lines between relaying and queue.

    ``plugin_files`` are copied to where qpsmtpd looks for plugins. ``logger``: with a logging
    plugin or without one, which makes a difference in what a plugin that dies leads to.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        plugins: str,
        *,
        plugin_files: Sequence[Path] = (),
        logger: bool = False,
    ) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.kind = kind
        self.program = self._without_dns(program(f"qpsmtpd-{kind}", OWNER))
        own = folder / "plugins"
        own.mkdir()
        for file in plugin_files:
            shutil.copy(file, own)
        (own / "relay_client").write_text(RELAY)
        for name in ("spool", "maildir"):
            (folder / name).mkdir(mode=0o700)
            shutil.chown(folder / name, OWNER, OWNER)
        settings = {
            "me": "mx.example",
            "plugin_dirs": f"{own}\n{PLUGINS}",
            "plugins": f"relay_client\n{plugins}\nqueue/maildir {folder / 'maildir'}",
            "rcpthosts": "\n".join(OUR_DOMAINS),
            "spool_dir": str(folder / "spool"),
            "loglevel": LOG_DEBUG,
        }
        if logger:
            settings["logging"] = f"logging/warn {LOG_DEBUG}"
        (folder / "config").mkdir()
        for name, text in settings.items():
            (folder / "config" / name).write_text(text + "\n")

    def command(self) -> list[str]:
        return ["perl", "-T", str(self.program), *ARGUMENTS[self.kind], str(self.port)]

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "QPSMTPD_CONFIG": str(self.folder / "config")}

    def answers(self) -> bool:
        try:
            with Session(self.port) as session:
                return session.greeting[0] == 220
        except OSError:
            return False

    def _without_dns(self, original: str) -> Path:
        call = "tcpenv($nto_laddr, $nto_iaddr"
        text = Path(original).read_text()
        assert text.count(call + ")") == 1, "another qpsmtpd than 0.94"
        copy = self.folder / f"qpsmtpd-{self.kind}"
        copy.write_text(text.replace(call, call + ", 1"))
        return copy


class StartHost(Protocol):
    """Starts qpsmtpd with check_user at a ``line`` door; ``arguments`` are further ones of it."""

    def __call__(
        self, socket: Path, arguments: str = "", *, before: Path | None = None, logger: bool = False
    ) -> Qpsmtpd: ...
