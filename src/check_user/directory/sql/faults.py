"""What an error of a database means for the lookups (rule V5 of the verdicts).

Drivers sort their exceptions differently (a missing table is a ProgrammingError, a missing column
an OperationalError), so the class of an exception says little; the database's own code says it:
MySQL's error number, PostgreSQL's SQLSTATE, SQLite's message. Sources: the MariaDB error code
reference, PostgreSQL manual appendix A, https://www.sqlite.org/rescode.html.
"""

from __future__ import annotations

from enum import Enum

from sqlalchemy.exc import DBAPIError, SQLAlchemyError


class Fault(Enum):
    """VALUE: this value only. STATEMENT: every value. BUSY: too slow. SERVER: the connection."""

    VALUE = "value"
    STATEMENT = "statement"
    BUSY = "busy"
    SERVER = "server"


MYSQL_VALUE = frozenset({1267, 1270, 1271, 1300, 1366, 1977, 3854, 3988})
"""A character that the column's character set doesn't have: it can't be stored there either."""

MYSQL_BUSY = frozenset({1205, 1213, 1317, 1969, 3024})
"""Lock wait, deadlock, interrupted, max_statement_time, max_execution_time."""

MYSQL_SERVER = frozenset(
    {
        *(1040, 1042, 1043, 1044, 1045, 1047, 1049, 1053, 1077, 1079, 1080, 1081),
        *(1129, 1130, 1152, 1153, 1154, 1156, 1157, 1158, 1159, 1160, 1161, 1184, 1203),
        *(1226, 1243, 1251, 1615, 1698, 1927, 3118, 3159, 3169, 4031),
    }
)
"""No connection, no room for one, not let in, going down; a prepared statement that is known no
more, as behind a proxy that has changed the server (1243, 1615). Below 1000 and from 2000 on are
the client's own errors."""

POSTGRESQL_VALUE = frozenset({"22021", "22P05"})
"""character_not_in_repertoire, untranslatable_character."""

POSTGRESQL_BUSY = frozenset({"55P03", "57014", "40P01"})
"""lock_not_available, query_canceled (statement_timeout), deadlock_detected."""

POSTGRESQL_SERVER = ("08", "25", "28", "3D", "53", "57", "58", "XX")
"""SQLSTATE classes: connection, transaction state, not let in, no such database, resources,
operator intervention, system error, internal error."""

SQLITE_BUSY = ("database is locked", "database table is locked")
SQLITE_STATEMENT = ("no such ", "syntax error", "unknown database")

ASYNCPG_STATEMENT = "invalid input for query argument"
"""The column takes no text, and the driver knows before it asks."""

AUTHENTICATION = frozenset({1044, 1045, 1049, 1698, "28000", "28P01", "3D000"})
"""The server was reached and lets us not in, or has no such database: the configuration's fault."""


def code_of(error: BaseException) -> int | str | None:
    """The database's own code: MySQL's number, PostgreSQL's SQLSTATE, or None.

    The number comes first: MySQL's drivers have a SQLSTATE as well, and it is mostly HY000.
    """
    original = error.orig if isinstance(error, DBAPIError) else error
    if original is None or isinstance(original, OSError):
        return None  # errno is no code of a database
    if original.args and isinstance(original.args[0], int):
        return original.args[0]
    for source in (original, original.__cause__):
        state = getattr(source, "sqlstate", None)
        if isinstance(state, str):
            return state
    return None


def classify(error: BaseException) -> Fault:
    """Sort an exception that came out of a connection."""
    if isinstance(error, UnicodeEncodeError):
        return Fault.VALUE
    match code_of(error):
        case int(number):
            return _classify_mysql(number)
        case str(state):
            return _classify_postgresql(state)
        case None:
            return _classify_text(error)


def is_authentication(error: BaseException) -> bool:
    """Whether the server answered and refused who we are or which database we want."""
    return code_of(error) in AUTHENTICATION


def _classify_mysql(number: int) -> Fault:
    if number in MYSQL_VALUE:
        return Fault.VALUE
    if number in MYSQL_BUSY:
        return Fault.BUSY
    if number in MYSQL_SERVER or number < 1000 or 2000 <= number < 3000:
        return Fault.SERVER
    return Fault.STATEMENT


def _classify_postgresql(state: str) -> Fault:
    if state in POSTGRESQL_VALUE:
        return Fault.VALUE
    if state in POSTGRESQL_BUSY:
        return Fault.BUSY
    if state.startswith(POSTGRESQL_SERVER):
        return Fault.SERVER
    return Fault.STATEMENT


def _classify_text(error: BaseException) -> Fault:
    """Without a code: SQLite's messages, and what isn't the database's at all (sockets, ends)."""
    text = str(error.orig if isinstance(error, DBAPIError) else error)
    if any(phrase in text for phrase in SQLITE_BUSY):
        return Fault.BUSY
    if any(phrase in text for phrase in (*SQLITE_STATEMENT, ASYNCPG_STATEMENT)):
        return Fault.STATEMENT
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return Fault.SERVER
    if isinstance(error, SQLAlchemyError) and not isinstance(error, DBAPIError):
        return Fault.STATEMENT
    return Fault.SERVER


def describe(error: BaseException) -> str:
    """One line for the log: what the database said, without the statement and its values."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    if len(original.args) > 1 and isinstance(original.args[0], int):
        text = f"{original.args[0]}: {original.args[1]}"
    else:
        text = str(original) or type(original).__name__
    return " ".join(text.split())
