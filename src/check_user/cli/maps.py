"""Postfix's own maps, read: ``mysql_table(5)``, ``pgsql_table(5)`` and ``sqlite_table(5)`` files.

    user = postfix
    password = secret
    hosts = unix:/run/mysqld/mysqld.sock
    dbname = mail
    query = SELECT goto FROM alias WHERE address = '%s' AND active = '1'

What becomes of them are an ``email_query`` and a ``domain_query`` that find what Postfix finds. The
answer to Postfix is any text (where an alias goes); ours is the address that is stored, so that it
can be compared again:

    SELECT address FROM alias WHERE address = :address AND active = '1'
    UNION ALL
    SELECT address FROM alias WHERE address = CONCAT('@', :domain) AND active = '1'

The second one is what Postfix asks besides, for a catch-all. Where no column is simply compared
with the whole address (``address = CONCAT('%u', '@', target_domain)``) the address itself is
returned for a row: then only the database compares.

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
SELECTED = re.compile(r"(?is)\s*select\s+(distinct\s+)?(.*?)\s+from\s")


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
    if any(escape in each.query for escape in ("%u", "%d")):
        return exact
    return [*exact, *_converted(each, dialect, _joined(["'@'", ":domain"], dialect))]


def _converted(each: PostfixMap, dialect: str, key: str) -> list[str]:
    query = _bound(each, dialect, key).strip().rstrip(";")
    if re.search(r"(?i)\blike\b[^)]*?:(address|domain|user)", query):
        raise MapError(f"{each.path}: LIKE with what is asked would read the whole table")
    return [_returning(each, part, key) for part in _parts(query)]


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


def _parts(query: str) -> list[str]:
    """The SELECTs of a UNION."""
    found, depth, begin = [], 0, 0
    for token in re.finditer(r"'(?:[^'\\]|''|\\.)*'|[()]|\bunion\b(?:\s+all\b)?", query, re.I):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0 and token[0].lower().startswith("union"):
            found.append(query[begin : token.start()])
            begin = token.end()
    return [*found, query[begin:]]


def _returning(each: PostfixMap, query: str, key: str) -> str:
    """The same SELECT with what is stored in place of its result."""
    selected = SELECTED.match(query)
    if selected is None:
        raise MapError(f"{each.path}: is no query that selects from a table")
    column = re.search(rf"([A-Za-z_][\w.]*|`[^`]+`)\s*=\s*{re.escape(key)}(?![\w|])", query)
    rest = query[selected.end(2) :].strip()
    if column is not None and len(re.findall(r"(?i)\bselect\b", query)) == 1:
        return f"SELECT {column[1]} {rest}"
    result = re.sub(r"(?is)\s+as\s+('[^']*'|\w+)\s*$", "", selected[2])
    return (
        f"SELECT {key} FROM (SELECT {result} AS found {rest}) AS rows_found "  # noqa: S608 - the site's own query
        "WHERE found IS NOT NULL AND found <> ''"
    )
