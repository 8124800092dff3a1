"""A real ``check-user serve`` with an ``smtp`` door behind a proxy, and clients of any network."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.app.serving import Serving, configure, free_port
from tests.smtp_limits.door import FILES

KNOWN, UNKNOWN = b"<anna@example.org>", b"<nobody@example.org>"
HOSTS = {**FILES, "rcpthosts": "example.org\n"}


class SmtpServing(Serving):
    """One; with ``smtp_proxies`` in ``keys`` clients begin with a PROXY header."""

    def __init__(self, folder: Path, queue: str = "queue/maildir mail", **keys: str) -> None:
        for name, text in {**HOSTS, "plugins": f"check_user\nrcpt_ok\n{queue}\n"}.items():
            (folder / name).write_text(text)
        self.port = free_port()
        self.keys = keys
        super().__init__(
            folder,
            configure(folder, f"smtp inet:127.0.0.1:{self.port}", **{"workers": "1", **keys}),
        )

    def client(self, address: str = "") -> SmtpClient:
        """A client, which the proxy says has this address."""
        return SmtpClient(self.port, address)


class SmtpClient:
    """One session; ``greeting`` is what it was told first."""

    def __init__(self, port: int, address: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._replies = self._socket.makefile("rb")
        if address:
            kind = "TCP6" if ":" in address else "TCP4"
            here = "::1" if ":" in address else "127.0.0.1"
            self._socket.sendall(f"PROXY {kind} {address} {here} 1024 25\r\n".encode())
        self.greeting = self.reply()

    def reply(self) -> bytes:
        """Read one reply; its last line, nothing at the end."""
        line = self._replies.readline()
        while line[3:4] == b"-":
            line = self._replies.readline()
        return line

    def ask(self, command: bytes) -> bytes:
        """Send a line, and read its reply."""
        self._socket.sendall(command + b"\r\n")
        return self.reply()

    def begin(self) -> SmtpClient:
        """Say EHLO and MAIL."""
        for command in (b"EHLO client.example", b"MAIL FROM:<a@client.example>"):
            assert self.ask(command).startswith(b"250 ")
        return self

    def rcpt(self, path: bytes) -> int:
        """Name a recipient; the code."""
        return int(self.ask(b"RCPT TO:" + path)[:3])

    def send(self, data: bytes) -> int:
        """Send what it takes within the time limit; how much."""
        return self._socket.send(data)

    def fileno(self) -> int:
        """Its descriptor, for selectors."""
        return self._socket.fileno()

    def patience(self, seconds: float) -> None:
        """Wait so long, and no longer."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """Leave without a word."""
        self._replies.close()
        self._socket.close()

    def __enter__(self) -> SmtpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
