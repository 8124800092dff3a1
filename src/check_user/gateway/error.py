"""What keeps the gateway from starting: which file, which line, and what was meant."""

from __future__ import annotations

from pathlib import Path


class GatewayError(Exception):
    """A file of qpsmtpd's that can't be used. ``str()`` is one line without secrets.

    ``line`` counts from 1 and is 0 where no line is at fault (a plugin that isn't there, a file
    that can't be read). It may name what stands in the file, so whoever shows it escapes it.
    """

    def __init__(self, file: Path, line: int, message: str) -> None:
        super().__init__(file, line, message)
        self.file = file
        self.line = line
        self.message = message

    def __str__(self) -> str:
        """Write ``FILE:LINE: MESSAGE``."""
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.message}"
