"""Postfix's own maps, read: ``mysql_table(5)``, ``pgsql_table(5)`` and ``sqlite_table(5)`` files.

    user = postfix
    password = secret
    hosts = unix:/run/mysqld/mysqld.sock
    dbname = mail
    query = SELECT goto FROM alias WHERE address = '%s' AND active = '1'

What becomes of them are an ``email_query`` and a ``domain_query`` that find what Postfix finds. The
answer to Postfix is any text (where an alias goes); ours is the address that is stored, so that it
can be compared again:

    SELECT stored FROM (SELECT address AS stored, goto AS found FROM alias
    WHERE address = :address AND active = '1') AS rows_found WHERE CAST(found AS CHAR) <> ''
    UNION ALL
    SELECT stored FROM (... WHERE address = CONCAT('@', :domain) AND active = '1') ...

The second one is what Postfix asks besides, for a catch-all; an empty result is none to it. Where
no column is simply compared with the whole address (``address = CONCAT('%u', '@', target)``) the
address itself is returned for a row: then only the database compares.

``%S``, ``%U``, ``%D`` (parts of a result) and ``%1`` to ``%9`` aren't known, nor is LIKE with what
is asked, which check_user refuses. ``domain``, ``result_format`` and ``expansion_limit`` change
nothing about who is there, but for ``domain``: a map that is limited to some domains is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ESCAPE = re.compile(r"%(.)", re.DOTALL)
PERCENT = "\0"
"""Stands for ``%%`` while the escapes are looked for."""

TEXT = re.compile(r"'((?:[^'\\]|''|\\.)*)'")


class MapError(Exception):
    """A file that can't be taken over; the message is one line and names it."""


@dataclass(frozen=True, slots=True)
class PostfixMap:
    """One file: where its database is, as keys of the configuration, and its query."""

    path: Path
    place: dict[str, str]
    query: str


def read_map(path: Path) -> PostfixMap:
    """Read a file. Raises MapError."""
    try:
        given = _entries(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MapError(f"{path} can't be read: {error}") from None
    if given.get("domain"):
        raise MapError(f"{path} is for some domains alone (domain=), which isn't known here")
    query = given.get("query") or _old_query(given)
    if not query:
        raise MapError(f"{path} has no query")
    return PostfixMap(path, _place(given), query)


def _entries(content: str) -> dict[str, str]:
    """``name = value`` lines; one that begins with white space goes on from the one before."""
    found: dict[str, str] = {}
    name = ""
    for line in content.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and name:
            found[name] += " " + line.strip()
            continue
        name, _, value = (part.strip() for part in line.partition("="))
        found[name] = value
    return found


def _old_query(given: dict[str, str]) -> str:
    """What stood in place of ``query`` before Postfix 2.2."""
    if not {"table", "select_field", "where_field"} <= given.keys():
        return ""
    where = f"{given['where_field']} = '%s' {given.get('additional_conditions', '')}"
    return f"SELECT {given['select_field']} FROM {given['table']} WHERE {where}"  # noqa: S608 - written for the site's own file


def _place(given: dict[str, str]) -> dict[str, str]:
    if "dbpath" in given:
        return {"driver": "sqlite", "database": given["dbpath"]}
    place = {"database": given.get("dbname", ""), "user": given.get("user", "")}
    place["passwd"] = given.get("password", "")
    hosts = given.get("hosts", "").replace(",", " ").split()
    sockets = [host.removeprefix("unix:") for host in hosts if host.startswith("unix:")]
    if sockets:
        return {**place, "socket": sockets[0]}
    named = [host.removeprefix("inet:") for host in hosts]
    return {**place, "host": ", ".join(named)} if named and named != ["localhost"] else place


# Queries


def queries(
    recipients: Sequence[PostfixMap], domains: Sequence[PostfixMap], dialect: str
) -> tuple[str, str]:
    """The ``email_query`` and ``domain_query`` that find what these maps find. Raises MapError."""
    emails = [part for each in recipients for part in _email_queries(each, dialect)]
    names = [part for each in domains for part in _converted(each, dialect, ":domain")]
    return " UNION ALL ".join(emails), " UNION ALL ".join(names)


def _email_queries(each: PostfixMap, dialect: str) -> list[str]:
    """For the address; and for ``@domain``, which has no user: where a query asks for one, Postfix
    leaves it out.
    """
    exact = _converted(each, dialect, ":address")
    if "%u" in each.query or "%s" not in each.query:
        return exact
    return [*exact, *_converted(each, dialect, _joined(["'@'", ":domain"], dialect))]


def _converted(each: PostfixMap, dialect: str, key: str) -> list[str]:
    query = _bound(each, dialect, key).strip().rstrip(";")
    if re.search(r"(?i)\blike\b[^)]*?:(address|domain|user)", query):
        raise MapError(f"{each.path}: LIKE with what is asked would read the whole table")
    return [_returning(each, part, key, dialect) for part in _parts(query)]


def _bound(each: PostfixMap, dialect: str, key: str) -> str:
    """The query with placeholders: within texts, and where they stand alone."""
    meaning = {"s": key, "u": ":user", "d": ":domain", "%": "%"}

    def word(escape: re.Match[str]) -> str:
        if escape[1] not in meaning:
            raise MapError(f"{each.path}: %{escape[1]} isn't known here")
        return meaning[escape[1]]

    def text(found: re.Match[str]) -> str:
        pieces = [piece for piece in re.split(r"(%[^%])", found[1].replace("%%", PERCENT)) if piece]
        parts = [
            word(escape) if (escape := ESCAPE.fullmatch(piece)) else f"'{piece}'"
            for piece in pieces
        ]
        return _joined(parts or ["''"], dialect)

    done, last = "", 0
    for found in TEXT.finditer(each.query):
        done += ESCAPE.sub(word, each.query[last : found.start()]) + text(found)
        last = found.end()
    return (done + ESCAPE.sub(word, each.query[last:])).replace(PERCENT, "%")


def _joined(parts: Sequence[str], dialect: str) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"CONCAT({', '.join(parts)})" if dialect == "mysql" else f"({' || '.join(parts)})"


def _outside(query: str, word: str) -> list[re.Match[str]]:
    """Where ``word``, a regular expression, stands outside of texts and parentheses."""
    found, depth = [], 0
    for token in re.finditer(rf"'(?:[^'\\]|''|\\.)*'|[()]|(?P<word>{word})", query, re.I):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0 and token["word"]:
            found.append(token)
    return found


def _parts(query: str) -> list[str]:
    """The SELECTs of a UNION."""
    unions = _outside(query, r"\bunion\b(?:\s+(?:all|distinct)\b)?")
    begins = [0, *(union.end() for union in unions)]
    ends = [*(union.start() for union in unions), len(query)]
    return [_bare(query[begin:end]) for begin, end in zip(begins, ends, strict=True)]


def _bare(query: str) -> str:
    """A SELECT without parentheses around it."""
    query = query.strip()
    while query.startswith("(") and query.endswith(")") and not _outside(query, r"\w"):
        query = query[1:-1].strip()
    return query


SELECT = re.compile(r"(?i)select\s+(distinct\s+)?")
NAMED = re.compile(r"(?i)\s+as\s+('[^']*'|\"[^\"]*\"|\w+)\s*$")
TEXT_TYPE = {"mysql": "CHAR", "postgresql": "TEXT", "sqlite": "TEXT"}


def _returning(each: PostfixMap, query: str, key: str, dialect: str) -> str:
    """The same SELECT with what is stored beside its result, which mustn't be empty to Postfix."""
    begun = SELECT.match(query)
    if begun is None:
        raise MapError(f"{each.path}: is no query that selects")
    tables = _outside(query, r"\bfrom\b")
    end = tables[0].start() if tables else len(query)
    result = NAMED.sub("", query[begun.end() : end].strip())
    column = re.search(rf"([A-Za-z_][\w.]*|`[^`]+`)\s*=\s*{re.escape(key)}(?![\w|])", query[end:])
    simple = column is not None and len(re.findall(r"(?i)\bselect\b", query)) == 1
    stored = column[1] if column is not None and simple else key
    inner = f"{query[: begun.end()]}{stored} AS stored, {result} AS found {query[end:]}".strip()
    return (
        f"SELECT stored FROM ({inner}) AS rows_found "  # noqa: S608 - the site's own query
        f"WHERE CAST(found AS {TEXT_TYPE[dialect]}) <> ''"
    )
