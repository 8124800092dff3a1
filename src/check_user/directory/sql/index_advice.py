"""The statements that make the index which a lookup lacks, as the database takes them.

    CREATE INDEX check_user_mailbox_username_folded ON "mailbox" (lower(trim("username")))

Every index has a name: only PostgreSQL finds one by itself. Where the columns are in several tables
it takes one for each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Dialect

LONGEST_NAME = 63
"""Characters of a name in PostgreSQL; MariaDB has 64."""


def create_index(
    keys: Sequence[ColumnElement[Any]], dialect: Dialect, *, folded: bool, domains: bool = False
) -> str:
    """An index on these columns; ``folded``, on their form in lower case, which MySQL and MariaDB
    don't have; ``domains``, on what is after the ``@``.
    """
    tables: dict[Any, list[str]] = {}
    for key in keys:
        table: Any = getattr(key, "table")  # noqa: B009 - a column's, which its type doesn't tell
        tables.setdefault(getattr(table, "element", table), []).append(str(key.key))
    quote = dialect.identifier_preparer
    statements = []
    for table, names in tables.items():
        kind = ["domain"] * domains + ["folded"] * folded
        name = "_".join(["check_user", table.name, *names, *kind])
        name = re.sub("[^a-z0-9]+", "_", name.lower())[:LONGEST_NAME]
        sides = [quote.quote_identifier(each) for each in names]
        if domains:
            sides = [f"substr({side}, instr({side}, '@') + 1)" for side in sides]
        if folded:
            sides = [f"lower(trim({side}))" for side in sides]
        place = ".".join(map(quote.quote_identifier, filter(None, (table.schema, table.name))))
        statements.append(f"CREATE INDEX {name} ON {place} ({', '.join(sides)})")
    return "; ".join(statements)


def spare_folding(keys: Sequence[ColumnElement[Any]], dialect: Dialect, *, domains: bool) -> str:
    """What to do where no index serves the second look, at the form in lower case."""
    otherwise = "if all is stored in lower case, stored_form=canonical"
    if dialect.name in ("mysql", "mariadb"):
        return f"give the columns a collation that ignores case; or, {otherwise}"
    return f"{create_index(keys, dialect, folded=True, domains=domains)}; or, {otherwise}"
