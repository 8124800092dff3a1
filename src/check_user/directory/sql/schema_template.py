"""The statements of a schema: all its sources in one, a SELECT each::

    SELECT 0, CAST(mailbox.username AS ...), CAST(mailbox.active AS ...), NULL
    FROM mailbox WHERE mailbox.username IN (?, ...)
    UNION ALL
    SELECT 1, CAST(alias.address AS ...), CAST(alias.active AS ...), CASE ... alias.goto END
    FROM alias WHERE alias.address IN (?, ?, ...)
    UNION ALL ...

A row is the source's number, the stored address (or local part and domain, where some source has
them in two columns), and what else is to be known of it, all as text: so types and collations of
different tables don't meet in one column. Whether a row is about what was asked is decided here, by
canonical keys (rules V2 and V3), and what it says of it as well;
:class:`check_user.directory.order.Fact` is what comes out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from sqlalchemy import CompoundSelect, union_all

from check_user.address import canonical, canonical_domain
from check_user.directory.order import Fact
from check_user.directory.sql.schema_branch import Branch
from check_user.directory.sql.schema_reader import Said
from check_user.directory.sql.templates import NO_FACTS, Answer, Row, Slot


@dataclass(slots=True)
class SchemaTemplate:
    """Questions to some or all sources of a schema. Its answers have facts alone."""

    name: str
    branches: tuple[Branch, ...]
    scans: bool = False
    _built: dict[int, CompoundSelect[Any]] = field(init=False, default_factory=dict)
    _readers: list[Callable[[Row, float, Collection[str]], Said]] = field(init=False)

    def __post_init__(self) -> None:
        self._readers = [branch.reader.read for branch in self.branches]

    def statement(self, size: int) -> CompoundSelect[Any]:
        """See :class:`check_user.directory.sql.templates.Template`."""
        if size not in self._built:
            width = max(branch.width for branch in self.branches)
            parts = [part for branch in self.branches for part in branch.selects(size, width)]
            self._built[size] = union_all(*parts)
        return self._built[size]

    def answers(
        self, asked: Sequence[tuple[str, Sequence[Slot]]], rows: Sequence[Row]
    ) -> list[Answer]:
        """See :class:`check_user.directory.sql.templates.Template`.

        All have all facts: whoever asked looks for their own keys among them.
        """
        if not rows:
            return [Answer(found=False)] * len(asked)
        keys = {key for key, _ in asked}
        wanted = {value for _, slots in asked for slot in slots for value in slot}
        facts: dict[str, list[Fact]] = {}
        strays: list[str] = []
        now = time.time()
        for row in rows:
            key, fact = self._readers[row[0]](row, now, keys)
            if key is None:
                continue
            if fact is not None:
                if key in facts:
                    facts[key].append(fact)
                else:
                    facts[key] = [fact]
            if key not in wanted and not (self.branches[row[0]].crosses or _is_asked(key, wanted)):
                strays.append(key)
        return [Answer(bool(facts), tuple(strays), facts=facts or NO_FACTS)] * len(asked)


def _is_asked(key: str, values: Collection[str]) -> bool:
    """Whether a key is the canonical form of some value that was asked for."""
    bare = key.removeprefix("@")
    canon = canonical if "@" in bare else canonical_domain
    return any(canon(value.removeprefix("@")) == bare for value in values)


def merged(answers: Sequence[Answer]) -> Answer:
    """One answer of several questions about the same address."""

    def add(one: Answer, other: Answer) -> Answer:
        facts = {key: list(rows) for key, rows in one.facts.items()}
        for key, rows in other.facts.items():
            mine = facts.setdefault(key, [])
            mine.extend(row for row in rows if row not in mine)
        strays = tuple(dict.fromkeys((*one.strays, *other.strays)))
        return Answer(one.found or other.found, strays, facts=facts)

    return reduce(add, answers)
