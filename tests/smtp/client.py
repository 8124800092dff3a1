"""A client of the smtp door that says what a test wants, octet by octet."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Self

from tests.peers.smtp import LIMIT, OUTSIDER, Session

Told = tuple[int, str]
"""A reply: code and text, which begins with the enhanced code."""

SENDER = "sender@client.example"


class Client(Session):
    """One session; it reads the greeting, unless ``silently``."""

    def __init__(self, port: int, source: str = OUTSIDER, *, silently: bool = False) -> None:
        if not silently:
            super().__init__(port, source)
            return
        self._limit = LIMIT
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT, (source, 0))
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def send(self, data: bytes) -> None:
        """Send octets."""
        self._socket.sendall(data)

    def reply(self) -> Told:
        """Read one reply."""
        return self._reply()

    def replies(self, count: int) -> list[int]:
        """Read that many replies; their codes."""
        return [self._reply()[0] for _ in range(count)]

    def rest(self) -> bytes:
        """Read until the server closes; a reset is an end, too."""
        data = b""
        try:
            while piece := self._file.read1(65536):
                data += piece
        except ConnectionResetError:
            pass
        return data

    def pause(self, seconds: float) -> None:
        """Wait no longer than this in :meth:`heard`."""
        self._socket.settimeout(seconds)

    def heard(self) -> bytes | None:
        """What the server says now; empty when it has closed, None while it is silent."""
        try:
            return self._socket.recv(65536)
        except TimeoutError:
            return None

    def end(self) -> None:
        """Send no more; replies may still come."""
        self._socket.shutdown(socket.SHUT_WR)

    def ehlo(self) -> dict[str, str]:
        """Say EHLO; the keywords of the reply, each with its parameters."""
        code, text = self.command("EHLO client.example")
        assert code == 250, text
        return {word: rest for word, _, rest in (each.partition(" ") for each in text.split("\n"))}

    def begin(self, *names: str, parameters: str = "", sender: str = SENDER) -> list[int]:
        """Say EHLO, MAIL, and a RCPT for each name; the codes that MAIL and RCPT got."""
        self.ehlo()
        code, _ = self.command(f"MAIL FROM:<{sender}> {parameters}".rstrip())
        return [code, *(self.rcpt(name)[0] for name in names)]

    def data(self, content: bytes) -> Told:
        """Send a message by DATA, as it is; the line with the dot comes after it."""
        code, text = self.command("DATA")
        if code != 354:
            return code, text
        self._socket.sendall(content + b".\r\n")
        return self._reply()

    def bdat(self, *chunks: bytes) -> Told:
        """Send a message by BDAT; the last reply, or the first that is a refusal."""
        code, text = 250, ""
        for number, chunk in enumerate(chunks, 1):
            last = b" LAST" if number == len(chunks) else b""
            self._socket.sendall(b"BDAT %d%b\r\n%b" % (len(chunk), last, chunk))
            code, text = self._reply()
            if code != 250:
                break
        return code, text

    def message(self, content: bytes, how: str) -> Told:
        """Send a message by ``DATA`` or ``BDAT``."""
        return self.data(content) if how == "DATA" else self.bdat(content)

    def starttls(self, authority: Path) -> None:
        """Say STARTTLS and shake hands; the certificate must be of ``authority`` and 127.0.0.1."""
        code, text = self.command("STARTTLS")
        assert code == 220, text
        self.encrypt(authority)

    def encrypt(self, authority: Path) -> None:
        """Shake hands."""
        context = ssl.create_default_context(cafile=str(authority))
        self._file.close()
        self._socket = context.wrap_socket(self._socket, server_hostname="127.0.0.1")
        self._file = self._socket.makefile("rb")
