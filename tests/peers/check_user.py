"""check_user itself, as an operator runs it: ``check-user serve`` with a configuration file."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Protocol

from tests.peers.process import Server


class CheckUser(Server):
    """One server. ``configuration`` must name a ``line`` door on the unix socket ``line``."""

    def __init__(self, folder: Path, configuration: str, line: Path) -> None:
        super().__init__(folder)
        self.file = folder / "check_user.conf"
        self.file.write_text(configuration)
        self.line = line

    def command(self) -> list[str]:
        return [sys.executable, "-m", "check_user", "serve", "--config", str(self.file)]

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.line))
                probe.sendall(b"postmaster\n")
                return probe.recv(100) != b""
            except OSError:
                return False


class StartCheckUser(Protocol):
    """Starts check_user with further doors (``DOOR ADDRESS``) beside the ``line`` door."""

    def __call__(self, *doors: str) -> CheckUser: ...
