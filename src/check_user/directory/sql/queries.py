"""A site's own queries, ``email_query`` and ``domain_query``.

    email_query=SELECT address FROM people WHERE address = :address AND quits > now()
    domain_query=SELECT name FROM domains WHERE name = :domain

``:address``, ``:user`` and ``:domain`` are bound, never pasted in. A query returns what is stored:

- the address (rule V2: it is compared again, here), or ``@example.org`` for a catch-all; the other
  one the domain. A row that is about something else isn't a match;
- perhaps a second column, the state: ``disabled``, ``refused``, ``busy``, ``full``, ``relay`` (of a
  domain). NULL, an empty text, ``active``, 1 and true are active. Any other word is taken as busy,
  so that nobody is refused for good by a slip.

Refused at the start: a placeholder in quotes (it would be a text) or behind LIKE (a sender's ``%``
would read the whole table), one that isn't known, a second statement, what isn't a SELECT, and on
SQLite double quotes (which make a text of a name that isn't there).

Several lookups share a statement here too: ``SELECT * FROM (query) AS q0 UNION ALL ...``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, String, TextClause, bindparam, text
from sqlalchemy.exc import DBAPIError

from check_user.address import canonical, canonical_domain
from check_user.directory import Misconfigured
from check_user.directory.order import Fact, State
from check_user.directory.schemas.declaration import YES
from check_user.directory.sql.faults import Fault, classify, describe
from check_user.directory.sql.options import SqlOptions
from check_user.directory.sql.schema_lookup import Looks
from check_user.directory.sql.session import Session
from check_user.directory.sql.slots import Part, Slots
from check_user.directory.sql.stored import as_text
from check_user.directory.sql.templates import NO_FACTS, Answer, Row, Slot, parameters

PLACEHOLDERS = {"address": Part.ADDRESS, "user": Part.LOCAL, "domain": Part.DOMAIN}

TOKEN = re.compile(
    r"(?P<quoted>'(?:[^'\\]|''|\\.)*'|\"(?:[^\"]|\"\")*\"|`[^`]*`)"
    r"|(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|(?P<cast>::)"
    r"|(?P<name>:[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<other>.)",
    re.DOTALL,
)

LIKE = frozenset({"like", "ilike", "rlike", "regexp", "glob", "similar"})
STATES = {state.value: state for state in State}
ACTIVE = frozenset({"", "active", *YES})


@dataclass(frozen=True, slots=True)
class Query:
    """A query taken apart: texts, and the placeholders between them."""

    key: str
    pieces: tuple[str | Part, ...]

    def sql(self, slot: int, slots: Slots) -> str:
        """The query for one slot, with SQLAlchemy's parameters."""
        return "".join(
            piece.replace(":", r"\:")
            if isinstance(piece, str)
            else f":s{slot}_{slots.place[piece]}"
            for piece in self.pieces
        )


def parse_query(key: str, query: str, dialect: str) -> Query:
    """Take ``query`` apart; ``key`` names it in errors. Raises Misconfigured."""
    pieces: list[str | Part] = []
    after_like = False
    for token in TOKEN.finditer(query.strip().removesuffix(";")):
        message = _complaint(token, dialect, after_like=after_like)
        if message:
            raise Misconfigured(f"{key}: {message}")
        if token.lastgroup == "word":
            after_like = token[0].lower() in LIKE or (after_like and token[0].lower() not in ENDS)
        is_name = token.lastgroup == "name"
        pieces.append(PLACEHOLDERS[token[0][1:]] if is_name else token[0])
    if not re.match(r"(?i)\s*(select|with)\b", query):
        raise Misconfigured(f"{key}: is not a SELECT")
    if not any(isinstance(piece, Part) for piece in pieces):
        raise Misconfigured(f"{key}: asks for nobody: compare with :address, :user or :domain")
    if re.match(r"(?i)\s*select\s+(distinct\s+)?(\d|count\s*\(|'[^']*')", query):
        what = "return the address or domain that is stored, to be compared again; not a count"
        raise Misconfigured(f"{key}: must {what}")
    return Query(key, tuple(pieces))


def _complaint(token: re.Match[str], dialect: str, *, after_like: bool) -> str:
    """What is wrong with one token; empty if nothing is."""
    shown = token[0]
    match token.lastgroup:
        case "quoted" if re.search(r":(address|user|domain)\b", shown):
            return f"{shown} is a text, not what is asked: take the quotes away"
        case "quoted" if shown.startswith('"') and dialect == "sqlite":
            return f"{shown}: to SQLite a name that isn't there is a text; write [name]"
        case "name" if shown[1:] not in PLACEHOLDERS:
            return f"{shown} is none of :address, :user, :domain"
        case "name" if after_like:
            return f"{shown} behind LIKE: a '%' in it would read the whole table"
        case "other" if shown == ";":
            return "has a second statement"
    return ""


ENDS = frozenset(
    {"and", "or", "then", "else", "when", "end", "join", "left", "inner", "on", "union", "where"}
    | {"group", "having", "order", "limit"}
)
"""Words behind which LIKE's operand is over."""


@dataclass(slots=True)
class QueryTemplate:
    """Questions to one of the site's queries. Its answers have facts alone."""

    name: str
    query: Query
    slots: Slots
    keeps_case: bool = False
    scans: bool = False
    _built: dict[int, TextClause] = field(init=False, default_factory=dict)

    def statement(self, size: int) -> TextClause:
        """See :class:`check_user.directory.sql.templates.Template`."""
        if size not in self._built:
            copies = (
                [self.query.sql(0, self.slots)]
                if size == 1
                else [
                    f"SELECT * FROM ({self.query.sql(i, self.slots)}\n) AS q{i}"  # noqa: S608 - the site's own query, whose values are bound
                    for i in range(size)
                ]
            )
            names = [f"s{i}_{self.slots.place[part]}" for i in range(size) for part in self._parts]
            binds = [bindparam(name, type_=String()) for name in names]
            self._built[size] = text("\nUNION ALL\n".join(copies)).bindparams(*binds)
        return self._built[size]

    @property
    def _parts(self) -> set[Part]:
        return {piece for piece in self.query.pieces if isinstance(piece, Part)}

    def answers(
        self, asked: Sequence[tuple[str, Sequence[Slot]]], rows: Sequence[Row]
    ) -> list[Answer]:
        """See :class:`check_user.directory.sql.templates.Template`."""
        facts: defaultdict[str, list[Fact]] = defaultdict(list)
        for row in rows:
            key = None if row[0] is None else self._key(as_text(row[0]).strip())
            fact = Fact(self.query.key, _state(row))
            if key is not None and fact not in facts[key]:
                facts[key].append(fact)
        return [Answer(bool(facts), facts=dict(facts) or NO_FACTS)] * len(asked)

    def _key(self, stored: str) -> str | None:
        if self.query.key == "domain_query":
            return canonical_domain(stored)
        if stored.startswith("@"):
            domain = canonical_domain(stored[1:])
            return None if domain is None else f"@{domain}"
        return canonical(stored, keeps_case=self.keeps_case)


def _state(row: Row) -> State:
    if len(row) < 2 or row[1] is None:
        return State.ACTIVE
    word = as_text(row[1]).strip().lower()
    return State.ACTIVE if word in ACTIVE else STATES.get(word, State.BUSY)


async def read_queries(session: Session, options: SqlOptions) -> Looks:
    """Take the site's queries apart and try them. Raises Misconfigured, or what the driver does."""
    dialect = session.dialect.name
    parsed = [
        parse_query(key, query, dialect)
        for key, query in (
            ("email_query", options.email_query),
            ("domain_query", options.domain_query),
        )
    ]
    used = {piece for query in parsed for piece in query.pieces if isinstance(piece, Part)}
    slots = Slots(used)
    emails, domains = [
        QueryTemplate(query.key, query, slots, options.keeps_case) for query in parsed
    ]
    looks = Looks(
        first=emails,
        beside=domains,
        domains=domains,
        folded=None,
        folded_domains=None,
        slots=slots,
        is_case_blind=False,
    )
    for template in (emails, domains):
        await _try(session, template, looks.probe)
    return looks


async def _try(session: Session, template: QueryTemplate, probe: Slot) -> None:
    """Run it for nobody: the database says whether it is one, and how many columns it has."""
    _, values = parameters([probe])
    try:
        width = await session.run(_width, template.statement(1), values)
    except DBAPIError as error:
        if classify(error) is Fault.STATEMENT:
            raise Misconfigured(f"{template.query.key}: {describe(error)}") from error
        raise
    if width > 2:
        raise Misconfigured(
            f"{template.query.key}: returns {width} columns; the stored address or domain, "
            "and perhaps its state"
        )


def _width(connection: Connection, statement: TextClause, values: dict[str, str]) -> int:
    return len(connection.execute(statement, values).keys())
