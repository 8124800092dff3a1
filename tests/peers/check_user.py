"""check_user itself, as an operator runs it: ``check-user serve`` with a configuration file.

It is ready when it tells its service manager so (sd_notify(3)), which the test is here: its doors
may be answered by a first worker while others have not begun.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
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
        self._manager = folder / "manager"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "check_user", "serve", "--config", str(self.file)]

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "NOTIFY_SOCKET": str(self._manager)}

    def start(self) -> None:
        """Start and wait until it is ready. Raises NotReadyError."""
        self._manager.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as self._told:
            self._told.bind(str(self._manager))
            self._told.setblocking(False)
            super().start()

    def answers(self) -> bool:
        try:
            return b"READY=1" in self._told.recv(1000)
        except BlockingIOError:
            return False


class StartCheckUser(Protocol):
    """Starts check_user with further doors (``DOOR ADDRESS``) beside the ``line`` door.

    ``sockets`` are the configuration's lines about its sockets' rights.
    """

    def __call__(self, *doors: str, sockets: str = ...) -> CheckUser: ...
