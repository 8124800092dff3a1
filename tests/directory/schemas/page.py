"""The part of docs/schemas.md that is made from the declarations.

``python -m tests.directory.schemas.page`` writes it; a test compares.
"""

from __future__ import annotations

import inspect
import sys

from check_user.directory.schemas import SCHEMAS, Schema
from check_user.directory.schemas.declaration import (
    Addresses,
    Begins,
    Both,
    CatchAll,
    Clear,
    Condition,
    Domains,
    Either,
    Filled,
    Future,
    Is,
    IsNot,
)
from tests.directory.schemas.world import PAGE

MARK = "<!-- made from the declarations by `python -m tests.directory.schemas.page` -->\n"


def page() -> str:
    """Every schema: what it is, its sources, what it needs."""
    return MARK + "".join(_schema(schema) for schema in SCHEMAS.values())


def _schema(schema: Schema) -> str:
    module = sys.modules[f"check_user.directory.schemas.{schema.name}"]
    manual = inspect.cleandoc(module.__doc__ or "").replace("``", "`")
    lines = [
        f"\n### {schema.title}\n",
        f"`schema={schema.name}`, on {', '.join(schema.drivers)}.\n",
    ]
    lines += [f"{manual}\n"]
    lines += [f"Needs `schema_value={name} ...`: {said}.\n" for name, said in schema.needs.items()]
    lines += ["| rows | are found by | active if | otherwise |", "| --- | --- | --- | --- |"]
    lines += [_row(source) for source in schema.sources]
    return "\n".join(lines) + "\n"


def _row(source: Addresses | Domains) -> str:
    if isinstance(source, Addresses):
        key, rest = ", ".join(source.address), _address_notes(source)
    else:
        key, rest = source.domain, _domain_notes(source)
    by = f"`{source.table}` ({key})"
    where = " and ".join(filter(None, map(_said, (*source.only, *source.enabled))))
    return f"| {source.name} | {by} | {where or 'always'} | {'; '.join(rest)} |"


def _address_notes(source: Addresses) -> list[str]:
    notes = []
    if source.refuses:
        notes.append("all are refusals")
    if source.busy:
        notes.append("all are busy")
    if source.refused:
        notes.append(f"a refusal if {_said(source.refused)}")
    if source.catch_all is CatchAll.STAR:
        notes.append("catch-all `*`")
    elif source.catch_all is CatchAll.LIKE:
        notes.append("catch-all for local parts that are LIKE it")
    elif source.catch_all:
        notes.append(f"catch-all `{source.catch_all.value}`")
    if not source.through:
        notes.append("not in alias domains")
    return notes + (["left out where it isn't there"] if source.optional else [])


def _domain_notes(source: Domains) -> list[str]:
    notes = []
    if source.stands_for:
        notes.append(f"stands for `{source.stands_for}`")
    if source.relays:
        notes.append("all are relay domains")
    if source.relay:
        notes.append(f"a relay domain if {_said(source.relay)}")
    if source.open_unless:
        notes.append(f"nobody is refused outside of `{source.open_unless}`")
    return notes + (["left out where it isn't there"] if source.optional else [])


def _said(test: Condition) -> str:
    match test:
        case Both(tests=tests):
            return " and ".join(map(_said, tests))
        case Either(tests=tests):
            return " or ".join(map(_said, tests))
        case Is(column=column, values=values):
            return f"`{column}`" + ("" if len(values) > 4 else f" is {' or '.join(values)}")
        case IsNot(column=column):
            return f"not `{column}`"
        case Begins(column=column, prefixes=prefixes):
            return f"`{column}` begins with {' or '.join(prefixes)}"
        case Clear(column=column, bits=bits):
            return f"bit {bits:#x} of `{column}` is 0"
        case Future(column=column):
            return f"`{column}` isn't over"
        case Filled(column=column):
            return f"`{column}` isn't empty"
    raise AssertionError(test)


if __name__ == "__main__":
    head = PAGE.read_text("utf-8").partition(MARK)[0]
    PAGE.write_text(head + page(), "utf-8")
