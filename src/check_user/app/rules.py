"""What the settings say about accounts and answers, as the rooms below take it: the schema, the
delimiters of domains, the replies.
"""

from __future__ import annotations

from collections.abc import Sequence

from check_user.config import ConfigError, Named, Settings
from check_user.directory.schemas import SCHEMAS, Schema
from check_user.verdict import Replies, Reply

DRIVERS = ("mysql", "postgresql", "sqlite")
"""Those of which a schema says whether its product has them; nobody knows of others."""


def schema_of(settings: Settings) -> Schema | None:
    """The schema that the settings name, with the site's names of tables. Raises ConfigError."""
    if not settings.schema:
        return None
    schema = SCHEMAS.get(settings.schema)
    if schema is None:
        message = f"'{settings.schema}' is none of {', '.join(SCHEMAS)}"
        raise ConfigError(settings.file, 0, "schema", message)
    _require_known(settings, "schema_table", settings.schema_table, schema.tables)
    _require_known(settings, "schema_value", settings.schema_value, tuple(schema.needs))
    if settings.driver in DRIVERS and settings.driver not in schema.drivers:
        message = f"{schema.title} doesn't run on {settings.driver}"
        raise ConfigError(settings.file, 0, "schema", message)
    tables = {each.name: each.value for each in settings.schema_table}
    return schema.renamed(settings.schema_prefix, tables)


def _require_known(
    settings: Settings, key: str, given: Sequence[Named], known: Sequence[str]
) -> None:
    for each in given:
        if each.name not in known:
            has = ", ".join(known) or "none"
            message = f"schema '{settings.schema}' has no '{each.name}' (it has: {has})"
            raise ConfigError(settings.file, each.line, key, message)


def values_of(given: Sequence[Named]) -> dict[str, str]:
    """A repeatable key's values by name."""
    return {each.name: each.value for each in given}


def replies_of(settings: Settings) -> Replies:
    """The replies to refused recipients."""

    def reply(reason: str) -> Reply:
        code = getattr(settings, f"code_{reason}")
        return Reply(code.code, code.enhanced, getattr(settings, f"text_{reason}"))

    return Replies(*map(reply, Replies._fields))
