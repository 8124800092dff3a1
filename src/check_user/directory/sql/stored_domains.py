"""Domains that are stored in other characters than ASCII, counted by the database.

    anna@bücher.example     in place of anna@xn--bcher-kva.example

What is after the last ``@`` is looked at, all of a value without one. No row is read for it: the
database tells its octets from its characters, by what its family has for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Text, cast, func, literal_column, select
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError

from check_user.directory import Finding, Level
from check_user.directory.sql.faults import describe
from check_user.directory.sql.session import Session
from check_user.directory.sql.stored import shown
from check_user.directory.sql.templates import UntypedText

AT: ColumnElement[str] = literal_column("'@'")


async def beyond_ascii(
    session: Session,
    subject: str,
    column: ColumnElement[Any],
    where: Sequence[ColumnElement[bool]] = (),
) -> list[Finding]:
    """Count the values of ``column`` in the rows of ``where``; nothing of databases not known."""
    odd = _is_beyond_ascii(column, session.dialect.name)
    if odd is None:
        return []
    table: Any = getattr(column, "table")  # noqa: B009 - a column's, which its type doesn't tell
    counted = select(func.count(), func.min(column, type_=UntypedText())).select_from(table)
    try:
        ((number, example),) = await session.execute(counted.where(odd, *where), {})
    except DBAPIError as error:
        return [Finding(Level.WARNING, subject, f"can't be counted: {describe(error)}")]
    if not number:
        return [Finding(Level.OK, subject, f"the domains in {column} are ASCII throughout")]
    message = (
        f"{number} values of {column} have characters beyond ASCII after the last @, "
        f"'{shown([example])}' for one; those whose domain IDNA 2008 allows, which wasn't looked "
        "at, are found all the same"
    )
    return [Finding(Level.WARNING, subject, message, "store such domains as A-labels (xn--...)")]


def _is_beyond_ascii(column: ColumnElement[Any], dialect: str) -> ColumnElement[bool] | None:
    match dialect:
        case "mysql" | "mariadb":
            characters = cast(column, mysql.CHAR(charset="utf8mb4"))
            domain = func.substring_index(characters, AT, literal_column("-1"))
            return func.length(domain) != func.char_length(domain)
        case "postgresql":
            plain = cast(column, Text).collate("C")
            domain = func.substring(plain, literal_column("'[^@]*$'"))
            return domain.op("~")(literal_column(r"'[^\x01-\x7f]'"))
        case "sqlite":
            characters = cast(column, Text)
            no_at = func.replace(characters, AT, literal_column("''"))
            before = func.length(func.rtrim(characters, no_at))
            domain = func.substr(characters, before + literal_column("1"))
            return func.length(cast(domain, LargeBinary)) != func.length(domain)
        case _:
            return None
