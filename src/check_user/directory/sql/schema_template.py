"""The statements of a schema: all its sources in one, a SELECT each::

    SELECT 0, CAST(mailbox.username AS ...), NULL, CAST(mailbox.active AS ...), NULL
    FROM mailbox WHERE mailbox.username IN (?, ...)
    UNION ALL
    SELECT 1, CAST(alias.address AS ...), NULL, CAST(alias.active AS ...), CASE ... alias.goto END
    FROM alias WHERE alias.address IN (?, ?, ...)
    UNION ALL ...

A row is the source's number, the stored address (or local part and domain), and what else is to be
known of it, all as text: so types and collations of different tables don't meet in one column.
Whether a row is about what was asked is decided here, by canonical keys (rules V2 and V3), and
what it says of it as well; :class:`check_user.directory.order.Fact` is what comes out.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from sqlalchemy import CompoundSelect, union_all

from check_user.address import canonical, canonical_domain
from check_user.directory.order import Fact
from check_user.directory.sql.schema_branch import Branch
from check_user.directory.sql.templates import NO_FACTS, Answer, Row, Slot

PLAIN = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~.@-]+")
"""Values of slots that are canonical as they stand."""


@dataclass(slots=True)
class SchemaTemplate:
    """Questions to some or all sources of a schema. Its answers have facts alone."""

    name: str
    branches: tuple[Branch, ...]
    scans: bool = False
    _built: dict[int, CompoundSelect[Any]] = field(init=False, default_factory=dict)

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
        values = {value for _, slots in asked for slot in slots for value in slot}
        wanted = frozenset(filter(PLAIN.fullmatch, values))
        facts: defaultdict[str, list[Fact]] = defaultdict(list)
        strays: list[str] = []
        now = time.time()
        for row in rows:
            branch = self.branches[row[0]]
            key = branch.reader.key_of(row, wanted)
            if key is None:
                continue
            fact = branch.reader.fact(row, key, now)
            if fact is not None:
                facts[key].append(fact)
            if not (key in wanted or branch.crosses or _is_asked(key, values)):
                strays.append(key)
        known = dict(facts) or NO_FACTS
        return [Answer(bool(facts), tuple(strays), facts=known)] * len(asked)


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
