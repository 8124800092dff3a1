"""Characters: which may occur at all, and how the spellings of one text become one text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Literal
from unicodedata import normalize

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SURROGATE = re.compile(r"[\ud800-\udfff]")
NON_ASCII = re.compile(r"[^\x00-\x7f]")

KEPT = re.compile("([\u037e\u1fef\u212a])")
"""The code points whose NFC is an ASCII character: ``;``, a grave accent and K."""

ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)

WHITE_SPACE = " \t\r\n\v\f"
"""What may surround an address in a database; ``str.strip`` would take U+00A0 away too."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not an address. ``reason`` is one line of printable ASCII and repeats nothing of the text."""

    reason: str

    def __str__(self) -> str:
        """Give the reason, for the log."""
        return self.reason


class MalformedError(Exception):
    """Raised within this package where a text breaks the syntax; its doors return Malformed."""


def require_text(text: str, limit: int, what: str) -> None:
    """Refuse more than ``limit`` octets of UTF-8, before looking at them, and what isn't text."""
    if len(text) <= limit:
        require_characters(text)
        if len(text.encode()) <= limit:
            return
    raise MalformedError(f"{what} over {limit} octets")


def require_characters(text: str) -> None:
    """Refuse invalid UTF-8, which shows as lone surrogates, and control characters."""
    if text.isprintable():
        return
    if SURROGATE.search(text):
        raise MalformedError("invalid UTF-8")
    if CONTROL.search(text):
        raise MalformedError("control character")


def lower(text: str) -> str:
    """Fold the 26 ASCII letters, and nothing else."""
    return text.lower() if text.isascii() else text.translate(ASCII_LOWER)


def fold(text: str) -> str:
    """Give the canonical text: NFC, ASCII letters in lower case; ``fold(fold(x)) == fold(x)``.

    NFC comes first, so that both spellings of a non-ASCII capital fold alike, and again at the end,
    since some letters have a precomposed form in lower case only (h with a line below, U+1E96).
    """
    if text.isascii():
        return text.lower()
    return _normalize("NFC", lower(_normalize("NFC", text)))


def compose(text: str) -> str:
    """Give the NFC spelling, in which letters keep their case."""
    return text if text.isascii() else _normalize("NFC", text)


def decompose(text: str) -> str:
    """Give the NFD spelling, as some systems store names; ``fold`` undoes it."""
    return text if text.isascii() else _normalize("NFD", text)


def printable(text: str) -> str:
    r"""Write non-ASCII characters as ``\x{HEX}`` (RFC 6533 3, EmbeddedUnicodeChar)."""
    if text.isascii():
        return text
    return NON_ASCII.sub(lambda found: f"\\x{{{ord(found[0]):X}}}", text)


def unique(*items: str) -> tuple[str, ...]:
    """Drop repetitions; the first of equals stays where it is."""
    return tuple(dict.fromkeys(items))


def _normalize(form: Literal["NFC", "NFD"], text: str) -> str:
    pieces = KEPT.split(text)
    pieces[::2] = [normalize(form, piece) for piece in pieces[::2]]
    return "".join(pieces)
