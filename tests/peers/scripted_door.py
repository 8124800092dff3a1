"""A ``line`` door that says what it is told, for those who ask one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LATE_LIMIT = 20.0
"""Seconds for which an event is waited for, at most."""

GARBAGE = [
    b"\n",
    b"OK\n",
    b"DECLINED\n",
    b"DECLINED \n",
    b"DECLINED maybe\n",
    b"DECLINED known\r\n",
    b"declined known\n",
    b"DENY\n",
    b"DENY \n",
    b"DENYHARD No\n",
    b"DENY a\0b\n",
    b"DENY \xff\xfe\n",
    b"DENY " + b"x" * 2000 + b"\n",
    b"x" * 2000,
    b"\x16\x03\x01\x02\0\n",
    b"500 5.5.1 what?\n",
]
"""What is no answer."""


class ScriptedDoor:
    """Listens at ``path``, and gives each connection its answers one by one.

    An answer is octets; ``b""`` closes; an event is waited for before the next answer. When a
    connection's answers are used up it stays open, and the next one is accepted; when the last
    one's are, nothing more is said. ``questions`` are those of all connections.
    """

    def __init__(self, path: Path, *connections: Sequence[bytes | threading.Event]) -> None:
        self.address = f"unix:{path}"
        self.questions: list[bytes] = []
        self.connections = 0
        self._scripts = connections
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(50)
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def __enter__(self) -> ScriptedDoor:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread where it accepts
        for each in self._open:
            with suppress(OSError):  # and where it reads
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        for script in self._scripts:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the test is over
                return
            self.connections += 1
            self._open.append(connection)
            with suppress(ConnectionError), connection.makefile("rb") as questions:
                for answer in script:
                    if isinstance(answer, threading.Event):
                        answer.wait(LATE_LIMIT)
                        continue
                    self.questions.append(questions.readline())
                    if not answer:
                        connection.shutdown(socket.SHUT_RDWR)
                        break
                    connection.sendall(answer)
