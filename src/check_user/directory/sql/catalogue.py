"""The catalogue: what the configuration names must be there, and what its columns can do.

Asked once when a directory is opened (and by the doctor), over a connection of its own. A table or
column that is missing, or a column that holds no text, stops the start: a database that compares a
number with ``'anna'`` finds almost everybody (``WHERE email = 0``), and SQLite takes a quoted name
that doesn't exist for a text.

How a column compares is asked of the database itself, by a comparison of two constants that borrow
the column's type and collation::

    SELECT count(*) FROM (SELECT email FROM users WHERE 1 = 0 UNION ALL SELECT 'A@X') AS probe
    WHERE probe.email = 'a@x'

A column for which that is 1, and which ignores trailing spaces too, needs no second, folded look.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from warnings import catch_warnings, simplefilter

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    false,
    func,
    inspect,
    literal,
    literal_column,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.mysql import BIT, YEAR
from sqlalchemy.dialects.mysql.base import ischema_names
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SAWarning
from sqlalchemy.sql import sqltypes
from sqlalchemy.types import NullType, TypeEngine

from check_user.directory import Misconfigured
from check_user.directory.sql.faults import Fault, classify, describe
from check_user.directory.sql.options import SqlOptions
from check_user.directory.sql.plans import PROBE, uses_index
from check_user.directory.sql.recipients import Recipients
from check_user.directory.sql.session import Session
from check_user.directory.sql.stored import Enabled, as_text
from check_user.directory.sql.templates import (
    Domains,
    EveryDomain,
    Rows,
    Slot,
    Template,
    UntypedText,
    compared,
)


@dataclass(frozen=True, slots=True)
class Columns:
    """One configured table: the columns we look into; which hold bytes, which fold themselves.

    ``extra`` are the further ones that the statement returns.
    """

    table: Table
    names: tuple[str, ...]
    extra: tuple[str, ...]
    binary: frozenset[str]
    folding: frozenset[str]

    @property
    def folds(self) -> bool:
        """Whether the database's own ``=`` ignores case and trailing spaces in all of them."""
        return self.folding.issuperset(self.names)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What was found: the columns of both lookups, and the templates that ask them."""

    emails: Columns
    domains: Columns
    exact: Rows
    folded: Rows | None
    domain: Domains
    domain_folded: Domains | None
    every_domain: EveryDomain
    every_domain_folded: EveryDomain
    recipients: Recipients

    @property
    def proof(self) -> Template:
        """The statement that a fresh connection must answer,"""
        return self.recipients

    @property
    def probe(self) -> Slot:
        """and what it is asked for."""
        return (PROBE, PROBE)

    @property
    def is_case_blind(self) -> bool:
        """Whether one canonical spelling finds a plain address however its row is spelled."""
        return self.emails.folds or self.recipients.rows.folded

    @property
    def knows_addresses(self) -> bool:
        """Whether the first look at a plain address leaves nothing for a second, folded one."""
        return self.folded is None or self.recipients.rows.folded

    @property
    def knows_domains(self) -> bool:
        """The same of its domain."""
        return self.domain_folded is None or self.recipients.domains.folded


async def read_catalogue(session: Session, options: SqlOptions) -> Catalogue:
    """Look the configured names up. Raises Misconfigured, or what the driver raises."""
    whole = (options.email_address,) if options.email_address else ()
    names = whole or (options.email_user, options.email_domain)
    extra = (options.email_enabled,) if options.email_enabled else ()
    emails = await _read(session, options.email_table, names, extra)
    domains = await _read(session, options.domain_table, (options.domain_domain,), ())
    enabled = Enabled(emails.extra[0], options.email_enabled_value) if extra else None

    def rows(*, folded: bool) -> Rows:
        name = "address folded" if folded else "address"
        binary, keeps_case = emails.binary, options.keeps_case
        return Rows(name, emails.table, emails.names, enabled, folded, binary, keeps_case)

    def domain(*, folded: bool) -> Domains:
        name = "domain folded" if folded else "domain"
        return Domains(name, domains.table, domains.names[0], folded, domains.binary)

    second_look = not options.stored_canonical
    exact, one_domain = rows(folded=False), domain(folded=False)
    folded = rows(folded=True) if second_look and not emails.folds else None
    domain_folded = domain(folded=True) if second_look and not domains.folds else None
    return Catalogue(
        emails,
        domains,
        exact=exact,
        folded=folded,
        domain=one_domain,
        domain_folded=domain_folded,
        every_domain=one_domain.unlimited(session.dialect.name),
        every_domain_folded=domain(folded=True).unlimited(session.dialect.name),
        recipients=Recipients(
            await _indexed(session, folded) or exact,
            await _indexed(session, domain_folded) or one_domain,
            is_unique=await _is_unique(session, domains),
        ),
    )


LookT = TypeVar("LookT", Rows, Domains)


async def _indexed(session: Session, look: LookT | None) -> LookT | None:
    """The folded look, where an index serves it: then it needs no exact one before it."""
    return look if look is not None and await uses_index(session, look) else None


UNIQUE_MYSQL = text(
    "SELECT min(column_name) FROM information_schema.statistics WHERE non_unique = 0 AND "
    "table_schema = coalesce(nullif(:schema, ''), database()) AND table_name = :name "
    "GROUP BY index_name HAVING count(*) = 1"
)
UNIQUE_POSTGRESQL = text(
    "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0] "
    "WHERE indrelid = to_regclass(:quoted) AND indisunique AND indisvalid AND indpred IS NULL "
    "AND indexprs IS NULL AND indnkeyatts = 1"
)


async def _is_unique(session: Session, domains: Columns) -> bool:
    """Whether the database itself keeps the domain's column free of repetitions."""
    table, column = domains.table, domains.names[0]
    match session.dialect.name:
        case "mysql" | "mariadb":
            place = {"schema": table.schema or "", "name": table.name}
            found = await session.execute(UNIQUE_MYSQL, place)
        case "postgresql":
            quoted = session.dialect.identifier_preparer.format_table(table)
            found = await session.execute(UNIQUE_POSTGRESQL, {"quoted": quoted})
        case _:
            return [column] in await session.run(_unique_sets, table)
    return column in [as_text(name) for (name,) in found]


def _unique_sets(connection: Connection, table: Table) -> list[list[str | None]]:
    """The columns of every unique constraint or index that holds for all rows."""
    inspector, place = inspect(connection), (table.name, table.schema)
    try:
        with catch_warnings():
            simplefilter("ignore", SAWarning)  # SQLite's indexes on expressions are of no interest
            keys = [inspector.get_pk_constraint(*place), *inspector.get_unique_constraints(*place)]
            indexes = inspector.get_indexes(*place)
    except NoSuchTableError:  # a view, to some dialects
        return []
    whole = [i for i in indexes if i["unique"] and not _is_partial(i.get("dialect_options", {}))]
    found: list[Any] = [key.get("constrained_columns") or key.get("column_names") for key in keys]
    return [list(columns) for columns in [*found, *(i["column_names"] for i in whole)] if columns]


def _is_partial(options: Mapping[str, Any]) -> bool:
    """Whether an index covers only the rows for which a condition holds."""
    return any(name.endswith("_where") for name in options)


async def _read(
    session: Session, table: str, names: Sequence[str], extra: Sequence[str]
) -> Columns:
    """One table with its columns, proven by selecting from them."""
    found = await reflect(session, table)
    names = [named(name, found, table) for name in names]
    extra = [named(name, found, table) for name in extra]
    for name in names:
        if not holds_text(found[name]):
            raise Misconfigured(
                f"column '{table}.{name}' holds {found[name]!s}, not text: addresses can't be there"
            )
    schema, _, plain = table.rpartition(".")
    typed = Table(
        plain,
        MetaData(),
        *(Column(name, UntypedText() if name in names else None) for name in (*names, *extra)),
        schema=schema or None,
    )
    binary = frozenset(n for n in names if isinstance(found[n], sqltypes._Binary))  # noqa: SLF001 - the only common class of BLOB and VARBINARY
    await _prove(session, typed, names, binary)
    folding = frozenset([n for n in names if n not in binary and await folds(session, typed, n)])
    return Columns(typed, tuple(names), tuple(extra), binary, folding)


def named(name: str, found: Collection[str], table: str) -> str:
    """The column's own name for a configured one: to MySQL and SQLite, case doesn't count in it."""
    if name in found:
        return name
    alike = [column for column in found if column.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    raise Misconfigured(
        f"table '{table}' has no column '{name}' (it has: {', '.join(sorted(found))})"
    )


async def reflect(session: Session, table: str) -> dict[str, TypeEngine[Any]]:
    """The columns of a table or view, by the database's own catalogue."""
    schema, _, plain = table.rpartition(".")
    if session.dialect.name in ("mysql", "mariadb"):
        columns = await _reflect_mysql(session, schema, plain)
    else:
        columns = await session.run(_reflect_any, schema, plain)
    if not columns:
        raise Misconfigured(f"there is no table or view '{table}' in the database")
    return columns


def _reflect_any(connection: Connection, schema: str, table: str) -> dict[str, TypeEngine[Any]]:
    try:
        columns = inspect(connection).get_columns(table, schema or None)
    except NoSuchTableError:
        return {}
    except DBAPIError as error:  # SQLite has no such schema
        if classify(error) is Fault.STATEMENT:
            return {}
        raise
    return {column["name"]: column["type"] for column in columns}


async def _reflect_mysql(session: Session, schema: str, table: str) -> dict[str, TypeEngine[Any]]:
    """SQLAlchemy's way, SHOW CREATE TABLE, asks for the right SHOW VIEW where it is a view."""
    statement = text(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = coalesce(nullif(:schema, ''), database()) AND table_name = :name"
    )
    rows = await session.execute(statement, {"schema": schema, "name": table})
    return {as_text(name): ischema_names.get(as_text(kind), NullType)() for name, kind in rows}


async def _prove(
    session: Session, table: Table, names: Sequence[str], binary: frozenset[str]
) -> None:
    """Compare the columns with a text, for no row: it takes the right to, and a type that can."""
    nobody = literal("check-user.invalid", UntypedText())
    sides = [compared(table, name, folded, binary) for name in names for folded in (False, True)]
    nothing = literal_column("1") == literal_column("0")  # false() would drop the comparisons
    statement = select(*table.c).where(nothing, or_(*(side == nobody for side in sides)))
    try:
        await session.execute(statement, {})
    except DBAPIError as error:
        if classify(error) is Fault.STATEMENT:
            what = f"can't look addresses up in '{table.fullname}': {describe(error)}"
            raise Misconfigured(what) from error
        raise


def holds_text(kind: TypeEngine[Any]) -> bool:
    """Whether a column of this type can hold an address. An unknown type may (citext, a domain)."""
    numbers = (sqltypes.Numeric, sqltypes.Float, sqltypes.Integer, sqltypes.Boolean, BIT, YEAR)
    times = (sqltypes.Date, sqltypes.DateTime, sqltypes.Time)
    others = (sqltypes.JSON, sqltypes.Uuid, sqltypes.Enum)
    return not isinstance(kind, numbers + times + others)


async def folds(session: Session, table: Table, name: str) -> bool:
    """Whether the column's own ``=`` ignores ASCII case and trailing spaces."""
    case = await compares_equal(session, table, name, "A@X", "a@x")
    return case and await compares_equal(session, table, name, "a@x  ", "a@x")


async def compares_equal(
    session: Session, table: Table, name: str, stored: str, asked: str
) -> bool:
    """Whether the column's own ``=`` takes these two texts as equal."""
    probe = union_all(
        select(table.c[name]).where(false()),
        select(literal_column(f"'{stored}'").label(name)),
    ).subquery("probe")
    statement = select(func.count()).select_from(probe).where(
        probe.c[name] == literal(asked, UntypedText())
    )  # fmt: skip
    try:
        rows = await session.execute(statement, {})
    except DBAPIError as error:
        if classify(error) in (Fault.SERVER, Fault.BUSY):
            raise
        return False  # a type that can't be compared so is looked at folded, which is always right
    return bool(rows[0][0])
