"""A small SMTP client that sends what it is told, bytes included, from the address it is told."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

OUR_DOMAINS = ("ours.example", "xn--bcher-kva.example", "bücher.example")
"""What the mail servers of the tests take for theirs: two domains, one of them in both forms."""

OUTSIDER = "127.0.0.3"
"""Not 127.0.0.1, which Sendmail lets relay whatever it is told."""

RELAY_CLIENT = "127.0.0.2"
"""The mail servers of the tests let this address relay, and no other."""

LIMIT = 60.0
"""Seconds to wait for a reply where a test says nothing else; one that waits for less measures."""


class Session:
    """One SMTP session up to RCPT. Its methods give replies: code and text, lines joined."""

    def __init__(self, port: int, source: str = OUTSIDER, limit: float = LIMIT) -> None:
        self._limit = limit
        self._socket = socket.create_connection(
            ("127.0.0.1", port), timeout=limit, source_address=(source, 0)
        )
        self._file = self._socket.makefile("rb")
        try:
            self.greeting = self._reply()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Leave without a word."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def command(self, line: str | bytes) -> tuple[int, str]:
        """Send a line and read its reply. Raises ConnectionError when the server closes."""
        data = line.encode() if isinstance(line, str) else line
        self._socket.sendall(data + b"\r\n")
        return self._reply()

    def mail(self, sender: str = "sender@client.example") -> None:
        """Say EHLO and MAIL, with SMTPUTF8 where the server has it."""
        code, text = self.command("EHLO client.example")
        assert code == 250, text
        utf8 = " SMTPUTF8" if "SMTPUTF8" in text.split() else ""
        code, text = self.command(f"MAIL FROM:<{sender}>{utf8}")
        assert code == 250, text

    def rcpt(self, address: str | bytes) -> tuple[int, str]:
        """Name a recipient, without brackets."""
        data = address.encode() if isinstance(address, str) else address
        return self.command(b"RCPT TO:<" + data + b">")

    def expect_silence(self, line: str, seconds: float) -> None:
        """Send a line and see no reply for that long; :meth:`late` reads it afterwards."""
        self._socket.sendall(line.encode() + b"\r\n")
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return
        finally:
            self._socket.settimeout(self._limit)
        raise AssertionError(f"an answer after all: {data!r}")

    def late(self) -> tuple[int, str]:
        """Read the reply that did not come before."""
        return self._reply()

    def _reply(self) -> tuple[int, str]:
        texts = []
        while line := self._file.readline():
            texts.append(line[4:].decode(errors="replace").rstrip())
            if line[3:4] != b"-":
                return int(line[:3]), "\n".join(texts)
        raise ConnectionError("closed without a reply")
