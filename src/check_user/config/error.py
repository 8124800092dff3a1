"""The one error of a configuration: which file, which line, which key, and what was meant."""

from __future__ import annotations

from pathlib import Path


class ConfigError(Exception):
    """A configuration that can't be used. ``str()`` is one line without secrets.

    It may name what stands in the file, so whoever shows it escapes it, as everything else.
    ``line`` counts from 1 and is 0 where no line is at fault (a missing key, an unreadable file);
    ``key`` is empty where no key is.
    """

    def __init__(self, file: Path, line: int, key: str, message: str) -> None:
        super().__init__(file, line, key, message)
        self.file = file
        self.line = line
        self.key = key
        self.message = message

    def __str__(self) -> str:
        """Write ``FILE:LINE: KEY: MESSAGE``, the form that editors and compilers share."""
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return ": ".join(part for part in (place, self.key, self.message) if part)
