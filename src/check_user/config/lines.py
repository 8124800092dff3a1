"""The file's form: ``key=value`` lines, as qpsmtpd read them in 2007. Bytes in, entries out.

    # who may be written to
    driver=mysql
    database = maildb;host=db1
    passwd=a#b=c

- a line is a comment when its first character that isn't white space is ``#``; a ``#`` further on
  belongs to the value, so that a password may hold one;
- the first ``=`` ends the key; further ones belong to the value;
- blanks and tabs around the key and around the value are dropped, as qpsmtpd drops them at a line's
  ends; a password that begins or ends with a blank needs ``passwd_file``;
- quotes are part of the value; an empty value of a key that need not be there is its default;
- lines end in LF or CRLF; a UTF-8 byte order mark is skipped; comments may be in any encoding
  (a file from 2007 may be in Latin-1), values must be UTF-8;
- a control character other than a tab is an error: no name and no password of ours has one.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from check_user.config.error import ConfigError

LONGEST_FILE = 1 << 20
"""Octets; a configuration has a few hundred, and ``--config /dev/zero`` must end."""

BLANKS = " \t"


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``key=value`` line. The value may be a secret, so it has no place in ``repr``."""

    line: int
    key: str
    value: str

    def __repr__(self) -> str:
        """Leave the value out."""
        return f"Entry({self.line}, {self.key!r})"


def entries(file: Path, data: bytes) -> Iterator[Entry]:
    """Split a file's octets into entries. Raises ConfigError."""
    for number, raw in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        stripped = raw.removesuffix(b"\r").strip(BLANKS.encode())
        if stripped and not stripped.startswith(b"#"):
            yield _entry(file, number, stripped)


def _entry(file: Path, number: int, raw: bytes) -> Entry:
    name, equals, _ = raw.partition(b"=")
    key = name.rstrip(BLANKS.encode()).decode("ascii", "backslashreplace")
    if not equals:
        # The line isn't quoted: it may be a password that lost its key.
        raise ConfigError(file, number, "", "not a 'key=value' line, and not a '#' comment")
    if not key:
        raise ConfigError(file, number, "", "no key before the '='")
    try:
        value = raw.partition(b"=")[2].decode("utf-8").strip(BLANKS)
    except UnicodeDecodeError:
        raise ConfigError(file, number, key, "the value is not UTF-8; save it as UTF-8") from None
    if any((ord(c) < 32 and c != "\t") or 127 <= ord(c) < 160 for c in value):
        raise ConfigError(file, number, key, "the value has a control character in it")
    return Entry(number, key, value)


def read(file: Path, longest: int = LONGEST_FILE) -> bytes:
    """Read a file of at most ``longest`` octets. Raises OSError; ValueError when it has more."""
    with file.open("rb") as stream:
        data = stream.read(longest + 1)
    if len(data) > longest:
        raise ValueError(f"is larger than {longest} octets")
    return data
