"""The common question, in one statement: is this address there, and is its domain ours?

Most recipients are plain: ASCII, with one spelling to look for. For them the address and the domain
are asked together, so that an unknown one costs one round trip like a known one::

    SELECT 0, email, NULL AS d0, ... FROM users WHERE email IN (?, ...)
    UNION ALL
    SELECT 1, NULL, (SELECT domain FROM domains WHERE domain = ? LIMIT 1) AS d0, ...

The two sides share no column, so that their collations don't meet. A slot is (address, domain), or
(user, domain) where they are two columns.

Where ``lower(trim(column))`` has an index, that side is compared by it at once: it finds all that
``column = ?`` finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, literal_column, null, select, union_all

from check_user.directory.sql.templates import Answer, Domains, Row, Rows, Slot, domain_answer


@dataclass(slots=True)
class Recipients:
    """Questions about a plain address and its domain. Each has one slot."""

    rows: Rows
    domains: Domains
    name: str = "recipient"
    scans: bool = False
    _built: dict[int, CompoundSelect[Any]] = field(init=False, default_factory=dict)

    def statement(self, size: int) -> CompoundSelect[Any]:
        """See :class:`check_user.directory.sql.templates.Template`."""
        if size not in self._built:
            self._built[size] = self._build(size)
        return self._built[size]

    def _build(self, size: int) -> CompoundSelect[Any]:
        stored = self.rows.chosen
        cells = self.domains.cells(size, 1)
        addresses = select(
            literal_column("0").label("side"),
            *stored,
            *(null().label(f"d{i}") for i in range(size)),
        ).where(self.rows.condition(size))
        other: list[ColumnElement[Any]] = [literal_column("1"), *(null() for _ in stored), *cells]
        domains = select(*other)
        return union_all(addresses, domains)

    def answers(
        self, asked: Sequence[tuple[str, Sequence[Slot]]], rows: Sequence[Row]
    ) -> list[Answer]:
        """See :class:`check_user.directory.sql.templates.Template`."""
        width = len(self.rows.columns) + (self.rows.enabled is not None)
        addresses = [row[1 : 1 + width] for row in rows if row[0] == 0]
        (cells,) = (row[1 + width :] for row in rows if row[0] == 1)
        answers = self.rows.answers(asked, addresses)
        return [
            answer if answer.found else replace(answer, ours=_is_ours(slots[0][1], cells[i]))
            for i, ((_, slots), answer) in enumerate(zip(asked, answers, strict=True))
        ]


def _is_ours(key: str, cell: object) -> bool | None:
    """None where a look-alike may hide the domain's own row."""
    answer = domain_answer(key, (cell,))
    return None if answer.strays else answer.found
