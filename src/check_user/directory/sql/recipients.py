"""The common question, in one statement: is this address there, and is its domain ours?

Most recipients are plain: ASCII, with one spelling to look for. For them the address and the domain
are asked together, so that an unknown one costs one round trip like a known one::

    SELECT 0, email, NULL AS d0 FROM users WHERE email IN (?, ...)
    UNION ALL
    SELECT 1, NULL, domain FROM domains WHERE domain IN (?, ...)

or, where the database doesn't keep the domain's column unique (the domain table may be the users'
own, with a million rows for one domain)::

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
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, literal_column, null, select, union_all

from check_user.address import canonical_domain
from check_user.directory.sql.stored import as_text
from check_user.directory.sql.templates import Answer, Domains, Row, Rows, Slot, domain_answer

Asked = Sequence[tuple[str, Sequence[Slot]]]


@dataclass(slots=True)
class Recipients:
    """Questions about a plain address and its domain. Each has one slot.

    ``is_unique`` says that no domain is stored twice.
    """

    rows: Rows
    domains: Domains
    is_unique: bool
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
        cells = [self.domains.stored] if self.is_unique else self.domains.cells(size, 1)
        addresses = select(
            literal_column("0").label("side"),
            *stored,
            *(null().label(f"d{i}") for i in range(len(cells))),
        ).where(self.rows.condition(size))
        other: list[ColumnElement[Any]] = [literal_column("1"), *(null() for _ in stored), *cells]
        domains = select(*other)
        if self.is_unique:
            domains = domains.where(self.domains.condition(size, 1))
        return union_all(addresses, domains)

    def answers(self, asked: Asked, rows: Sequence[Row]) -> list[Answer]:
        """See :class:`check_user.directory.sql.templates.Template`."""
        if len(asked) == 1 and self.is_unique and (answer := self._simple(*asked[0], rows)):
            return [answer]
        width = len(self.rows.columns) + (self.rows.enabled is not None)
        addresses = [row[1 : 1 + width] for row in rows if row[0] == 0]
        cells = [row[1 + width :] for row in rows if row[0] == 1]
        answers = self.rows.answers(asked, addresses)
        ours = _listed(asked, cells) if self.is_unique else _in_place(asked, cells)
        return [
            answer if answer.found else answer._replace(ours=is_ours)
            for answer, is_ours in zip(answers, ours, strict=True)
        ]

    def _simple(self, key: str, slots: Sequence[Slot], rows: Sequence[Row]) -> Answer | None:
        """The answer where there is nothing to compare; None where there is."""
        if not rows:
            return NOT_OURS
        row = rows[0]
        if row[0] == 1 and len(rows) == 1 and row[-1] == slots[0][1]:
            return NOBODY
        is_alone = len(rows) == 1 or (len(rows) == 2 and rows[1][0] == 1)
        if is_alone and row[0] == 0 and row[1] == key and self.rows.enabled is None:
            return Answer(found=True, rows=(key,))
        return None


NOBODY = Answer(found=False, ours=True)
NOT_OURS = Answer(found=False, ours=False)


def _listed(asked: Asked, cells: Sequence[Row]) -> list[bool | None]:
    """Whether each domain is among the rows; None where a look-alike may be what hides it."""
    keys = [slots[0][1] for _, slots in asked]
    found = {cell if cell in keys else canonical_domain(as_text(cell)) for (cell,) in cells}
    absent = None if found.difference(keys) else False
    return [key in found or absent for key in keys]


def _in_place(asked: Asked, cells: Sequence[Row]) -> list[bool | None]:
    """The same of one row with a cell for each question."""
    (row,) = cells
    answers = (domain_answer(slots[0][1], (row[i],)) for i, (_, slots) in enumerate(asked))
    return [None if answer.strays else answer.found for answer in answers]
