"""What is stored, as it comes out of the drivers: texts, and what says that a row counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any


def as_text(stored: object) -> str:
    """A stored value as text; binary columns hold UTF-8."""
    if isinstance(stored, bytes):
        return stored.decode("utf-8", "surrogateescape")
    return str(stored)


def shown(row: Sequence[Any]) -> str:
    """A row as text, for ``--explain`` and for the log."""
    if len(row) == 1 and type(row[0]) is str:
        return row[0]
    return " | ".join("NULL" if cell is None else as_text(cell) for cell in row)


@dataclass(frozen=True, slots=True)
class Enabled:
    """The column that says whether a row counts, and the value it must have.

    The database's own types show here (``yes``, 1, True): texts are compared without regard to
    case, numbers and booleans by their meaning (``true`` is 1). NULL never counts.
    """

    column: str
    value: str

    def accepts(self, stored: object) -> bool:
        """Whether ``stored`` is the value that was configured."""
        wanted = _folded(self.value)
        if stored in (b"\0", b"\1"):
            stored = stored == b"\1"  # BIT(1) of MySQL
        if isinstance(stored, bool | int | float | Decimal):
            return stored == _number(wanted)
        return stored is not None and _folded(as_text(stored)) == wanted


def _number(text: str) -> Decimal | None:
    """What a text means as a number, or as a boolean."""
    if text in TRUE or text in FALSE:
        return Decimal(text in TRUE)
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


TRUE = ("t", "true", "y", "yes", "on")
FALSE = ("f", "false", "n", "no", "off")


def _folded(text: str) -> str:
    return text.strip().translate(_LOWER)


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
