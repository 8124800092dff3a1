"""``check-user init``: from a database that is there to a configuration that is proven.

It connects, recognises the product by its tables, asks what can't be known, writes the file
(readable by its owner alone) and proves it with three lookups: of an address that is stored, of one
that isn't, and of one elsewhere. What it isn't told by options it asks for on the terminal; without
a terminal every question has its default, or is an error.

With ``--recipients`` and ``--domains`` it reads Postfix's own maps instead (``maps``).
"""

from __future__ import annotations

import getpass
import os
import secrets
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from check_user.config import ConfigError, Settings, load, parse

if TYPE_CHECKING:
    from check_user.check import Decision
    from check_user.directory.sql.recognise import Match, Survey

USAGE = 2
NOT_PROVEN = 1


class Refused(Exception):
    """The command can't go on; the message is one line."""


def init(options: Namespace) -> int:
    """Run the command."""
    file = Path(options.output)
    try:
        lines, samples = _answered(options, file)
        settings = _checked(file, lines)
        _write(file, lines)
    except Refused as error:
        print(f"check-user: {error}", file=sys.stderr)
        return USAGE
    print(f"\nWritten to {file}:\n")
    print("\n".join(f"  {line}" for line in lines if not line.startswith("passwd=")))
    return _prove(settings, options.address or next(iter(samples), None))


def _answered(options: Namespace, file: Path) -> tuple[list[str], tuple[str, ...]]:
    """The configuration's lines, and addresses that should be known by it."""
    if file.exists() and not options.force:
        raise Refused(f"{file} is there already: --force replaces it")
    doors = [f"listen={listen}" for listen in options.listen]
    if options.recipients or options.domains:
        return [*_from_maps(options), *doors], ()
    lines, samples = _from_tables(options, file)
    return [*lines, *doors], samples


def _ask(given: str | None, question: str, default: str | None = None) -> str:
    """Take what was given, or ask; without a terminal the default must do."""
    if given is not None:
        return given
    if not sys.stdin.isatty():
        if default is None:
            raise Refused(f"needs an answer: {question}")
        return default
    shown = f" [{default}]" if default else ""
    answer = input(f"{question}{shown}: ").strip()
    return answer or default or _ask(None, question)


# From tables


def _from_tables(options: Namespace, file: Path) -> tuple[list[str], tuple[str, ...]]:
    import asyncio

    from check_user.app.build import sql_options
    from check_user.directory import Misconfigured
    from check_user.directory.sql.recognise import survey

    place = _place(options)
    stand_in = ["email_query=SELECT :address", "domain_query=SELECT :domain"]
    try:
        found = asyncio.run(survey(sql_options(_checked(file, [*place, *stand_in]))))
    except Misconfigured as error:
        raise Refused(str(error)) from None
    match = _chosen(options, found)
    version = f", version {match.version}" if match.version else ""
    print(f"This is {match.schema.title}{version}: {', '.join(match.tables)}.")
    lines = [*place, f"schema={match.schema.name}"]
    lines += [f"schema_prefix={match.prefix}"] if match.prefix else []
    lines += _values(options, match)
    question = "Characters that may begin an extension (user+extension)"
    delimiter = _ask(options.delimiter, question, "+")
    lines += [f"recipient_delimiter={delimiter}"] if delimiter else []
    print(*_rights(found.dialect, match, options), sep="\n")
    return lines, match.samples


def _place(options: Namespace) -> list[str]:
    """Where the database is, in lines of the configuration."""
    driver = _ask(options.driver, "The database's kind (mysql, postgresql, sqlite)")
    database = _ask(options.database, "Its file" if driver == "sqlite" else "Its name")
    lines = [f"driver={driver}", f"database={database}"]
    if driver == "sqlite":
        return lines
    host = "" if options.socket else _ask(options.host, "Its host (empty: this machine)", "")
    lines += [f"socket={options.socket}"] if options.socket else []
    lines += [f"host={host}"] if host else []
    lines.append(f"user={_ask(options.user, 'The database user')}")
    if options.passwd_file:
        return [*lines, f"passwd_file={Path(options.passwd_file).absolute()}"]
    password = getpass.getpass("His password: ") if sys.stdin.isatty() else ""
    return [*lines, f"passwd={password}"]


def _chosen(options: Namespace, found: Survey) -> Match:
    matches = [m for m in found.matches if options.schema in (None, m.schema.name)]
    if not matches:
        raise Refused(_unknown(options.schema, found))
    names = [match.schema.name for match in matches]
    if len(set(names)) == 1:
        return matches[0]
    chosen = _ask(None, f"Several fit ({', '.join(names)}). Which is it", names[0])
    return next((m for m in matches if m.schema.name == chosen), matches[0])


def _unknown(wanted: str | None, found: Survey) -> str:
    """What was seen of a database that no schema fits, and the keys that may."""
    seen = f"the tables are {', '.join(found.tables) or 'none'}"
    if wanted:
        return f"this isn't the schema '{wanted}': {seen}"
    lines = [f"no known schema fits; {seen}."]
    if found.addresses:
        table, column, example = found.addresses[0]
        lines += [f"'{example}' stands in {table}.{column}. Try these keys:", ""]
        lines += [f"  email_table={table}", f"  email_address={column}"]
        domain = found.domains[0] if found.domains else ("?", "?", "")
        lines += [f"  domain_table={domain[0]}", f"  domain_domain={domain[1]}"]
    else:
        lines.append("No column holds an address; see email_query in docs/schemas.md.")
    return "\n".join(lines)


def _values(options: Namespace, match: Match) -> list[str]:
    given = dict(pair.partition("=")[::2] for pair in options.value)
    lines = []
    for name, sentence in match.schema.needs.items():
        stored = match.constants.get(name, ())
        default = stored[0] if len(stored) == 1 else None
        among = f" (stored: {', '.join(stored)})" if stored else ""
        value = _ask(given.get(name), f"{name}: {sentence}{among}", default)
        lines.append(f"schema_value={name} {value}")
    return lines


def _rights(dialect: str, match: Match, options: Namespace) -> list[str]:
    """The statements that make an account which can read these tables and nothing else."""
    if dialect == "sqlite":
        return []
    lines = ["", "An account that can read these tables and nothing else:", ""]
    password = secrets.token_urlsafe(12)
    tables = [match.prefix + table.removeprefix(match.prefix) for table in match.tables]
    if dialect == "postgresql":
        lines.append(f"  CREATE ROLE check_user LOGIN PASSWORD '{password}';")
        lines += [f'  GRANT SELECT ON "{table}" TO check_user;' for table in tables]
    else:
        # To MariaDB `localhost` is its socket, and 127.0.0.1 too unless it resolves no names.
        who = "check_user@'%'" if options.host else "check_user@localhost"
        lines.append(f"  CREATE USER {who} IDENTIFIED BY '{password}';")
        database = options.database or "DATABASE"
        lines += [f"  GRANT SELECT ON `{database}`.`{table}` TO {who};" for table in tables]
    return lines


# From Postfix's maps


def _from_maps(options: Namespace) -> list[str]:
    from check_user.cli.maps import MapError, queries, read_map

    if not (options.recipients and options.domains):
        raise Refused("--recipients and --domains go together")
    try:
        recipients = [read_map(Path(name)) for name in options.recipients]
        domains = [read_map(Path(name)) for name in options.domains]
        place = {**recipients[0].place}
        place.setdefault("driver", options.driver or "")
        for each in (*recipients, *domains):
            if each.place != recipients[0].place:
                raise Refused(f"{each.path} leads to another database than {recipients[0].path}")
        place["driver"] = _ask(place["driver"] or None, "The database's kind (mysql, postgresql)")
        emails, names = queries(recipients, domains, place["driver"])
    except MapError as error:
        raise Refused(str(error)) from None
    lines = [f"{key}={value}" for key, value in place.items() if value or key == "passwd"]
    return [*lines, f"email_query={emails}", f"domain_query={names}"]


# The file and its proof


def _checked(file: Path, lines: Sequence[str]) -> Settings:
    try:
        return parse(file, "\n".join(lines).encode())
    except ConfigError as error:
        raise Refused(error.message) from None


def _write(file: Path, lines: Sequence[str]) -> None:
    """Write aside and rename: a file that is there stays whole until the new one is."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write("# Written by check-user init; docs/configuration.md has every key.\n")
            stream.writelines(f"{line}\n" for line in lines)
        draft.rename(file)
    except OSError as error:
        raise Refused(f"{file} can't be written: {error.strerror}") from None


def _prove(settings: Settings, known: str | None) -> int:
    """Ask for an address that is there, one that isn't, and one elsewhere."""
    from check_user.app.asking import asking
    from check_user.directory import Misconfigured
    from check_user.telemetry import printable

    expected = {}
    if known:
        domain = known.rpartition("@")[2]
        expected = {known: "known", f"no-such-{secrets.token_hex(6)}@{domain}": "unknown"}
    expected["postmaster@check-user.invalid"] = "foreign"
    print("\nProof:\n")
    wrong = 0
    try:
        with asking(load(settings.file), lambda line: print(f"  {printable(line)}")) as ask:
            for text, reason in expected.items():
                decision = ask(text).result().decision
                right = reason == decision.verdict.reason.value or decision.source in UNPROVEN
                wrong += not right
                print(f"  {printable(text)}\t{_shown(decision)}{'' if right else '  <- ' + reason}")
    except Misconfigured as error:
        print(f"  {printable(str(error))}")
        wrong += 1
    if not known:
        print("  (no address that is there was found: name one with --address)")
    print(f"\nNext: check-user check --config {settings.file}")
    return NOT_PROVEN if wrong else os.EX_OK


UNPROVEN = ("catch-all", "relay domain")
"""Sources by which an address is known that nobody has."""


def _shown(decision: Decision) -> str:
    from check_user.telemetry import printable

    source = f" ({decision.source})" if decision.source else ""
    cause = f": {printable(decision.cause)}" if decision.cause else ""
    return f"{decision.verdict.reason.value}{source}{cause}"
