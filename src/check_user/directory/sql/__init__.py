"""The SQL directory: accounts in any database that SQLAlchemy reaches asynchronously.

The only room that knows SQLAlchemy. From the bottom up: ``options`` (what we are told), ``faults``
(what an error means), ``drivers`` and ``resolver`` (how to reach a database), ``session`` (one
connection), ``stored``, ``templates`` and ``recipients`` (the statements), ``plans`` (whether an
index serves them), ``catalogue`` (what the configured columns are), ``connector`` (the way to the
servers), ``questions`` and ``pool`` (who asks when, and what if it breaks), ``at_once`` (a file of
this machine, asked on the spot), ``lookup`` (which questions make an answer). ``schema_catalogue``,
``schema_template``, ``schema_opening`` and ``schema_lookup`` are the same for the schemas of known
products, and ``queries`` for a site's own statements. Beside them ``doctor`` (what ``check-user
check`` says) and ``sample`` (the demo's database).
"""

from __future__ import annotations

from pathlib import Path

from check_user.directory import Misconfigured
from check_user.directory.sql.at_once import AtOnce, is_local
from check_user.directory.sql.catalogue import Catalogue, read_catalogue
from check_user.directory.sql.connector import Connector
from check_user.directory.sql.doctor import examine
from check_user.directory.sql.drivers import dialect_of, endpoints_of
from check_user.directory.sql.lookup import SqlDirectory
from check_user.directory.sql.options import SqlOptions, TlsOptions
from check_user.directory.sql.pool import SOFT, Pool
from check_user.directory.sql.queries import read_queries
from check_user.directory.sql.sample import create_sample
from check_user.directory.sql.schema_lookup import AddressRules, Looks, SchemaDirectory
from check_user.directory.sql.schema_opening import read_schema
from check_user.directory.sql.session import Opener, Session
from check_user.directory.sql.templates import SIZES, Report, parameters

__all__ = ["SqlOptions", "TlsOptions", "create_sample", "examine", "open_directory"]


async def open_directory(options: SqlOptions, report: Report) -> SqlDirectory | SchemaDirectory:
    """Connect, look the configured names up, and give the directory.

    Raises Misconfigured (the configuration is wrong) or Unavailable (no host could be reached).
    ``report`` takes operational lines for the log.
    """
    known: list[Catalogue | Looks] = []
    sessions: list[Session] = []

    async def prove(session: Session) -> None:
        """The real thing: every connection shows that it can answer a lookup."""
        if not known:
            known.append(await _read(session, options))
            sessions.append(session)
        _, values = parameters([known[0].probe])
        await session.fetch(known[0].proof.statement(1), values)

    timeout = options.lookup_timeout
    soft = min(SOFT, timeout / 3)
    connector = Connector(
        endpoints_of(options), Opener(options), prove, soft=soft, timeout=timeout, report=report
    )
    pool = Pool(connector, size=options.connections, soft=soft, timeout=timeout, report=report)
    try:
        await pool.start()
    except BaseException:
        await pool.close()
        raise
    match known:
        case [Catalogue() as catalogue]:
            return SqlDirectory(pool, catalogue, report, _at_once(options, catalogue))
        case [Looks() as looks]:
            _compile(sessions[0], looks)
            return SchemaDirectory(pool, looks, _rules(options), report)
    raise Misconfigured("the database's catalogue could not be read")


def _compile(session: Session, looks: Looks) -> None:
    """Now rather than in the midst of the first lookups: a schema's statements are large."""
    for template in looks.templates:
        for size in SIZES:
            session.compile(template.statement(size))


def _at_once(options: SqlOptions, catalogue: Catalogue) -> AtOnce | None:
    path = Path(options.database)
    if dialect_of(options).startswith("sqlite") and is_local(path):
        return AtOnce(path, catalogue.recipients)
    return None


async def _read(session: Session, options: SqlOptions) -> Catalogue | Looks:
    if options.schema is not None:
        return await read_schema(session, options.schema, options)
    if options.email_query:
        return await read_queries(session, options)
    return await read_catalogue(session, options)


def _rules(options: SqlOptions) -> AddressRules:
    return AddressRules(options.delimiters, options.delimiters_at, options.check_targets)
