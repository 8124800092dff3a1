"""The keys about schemas, replies and delimiters: what may stand together, and what it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from check_user.app.build import sql_options
from check_user.app.rules import replies_of
from check_user.config import ConfigError, parse
from check_user.directory.schemas import SCHEMAS
from check_user.directory.sql import SqlOptions
from check_user.verdict import Replies, Reply

BASE = "driver=mysql\ndatabase=mail\nuser=u\npasswd=\n"
NAMES = "email_table=t\ndomain_table=d\nemail_address=a\ndomain_domain=n\n"
QUERIES = "email_query=SELECT a FROM t WHERE a = :address\ndomain_query=SELECT d FROM t\n"


def options(lines: str) -> SqlOptions:
    return sql_options(parse(Path("f.conf"), (BASE + lines).encode()))


def refused(lines: str) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        options(lines)
    return error.value


def test_a_schema_takes_the_place_of_names() -> None:
    """With schema= no table or field is needed; its tables have the site's prefix and names."""
    found = options("schema=postfixadmin\nschema_prefix=pa_\nschema_table=alias my.aliases\n")
    assert found.schema
    assert found.schema.tables == ("pa_mailbox", "my.aliases", "pa_domain", "pa_alias_domain")
    assert found.email_table == ""
    assert options("schema=ispconfig\nschema_value=server_id 7\n").schema_values == {
        "server_id": "7"
    }


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        ("schema=postfixadmin\nemail_table=t\n", "email_table", "goes without 'schema'"),
        (f"schema=postfixadmin\n{QUERIES}", "", "one of the two"),
        (f"{QUERIES}email_address=a\n", "email_address", "goes without 'email_query'"),
        ("email_query=SELECT a FROM t WHERE a = :address\n", "email_query", "go together"),
        (f"{NAMES}domain_query=SELECT 1\n", "domain_query", "go together"),
        (f"{NAMES}schema_prefix=x\n", "schema_prefix", "no use without 'schema'"),
        (f"{NAMES}check_alias_targets=yes\n", "check_alias_targets", "no use without 'schema'"),
        ("schema=postfixadmim\n", "schema", "none of postfixadmin"),
        ("schema=mailinabox\n", "schema", "Mail-in-a-Box doesn't run on mysql"),
        ("schema=vexim\nschema_table=mailbox m\n", "schema_table", "has no 'mailbox'"),
        ("schema=vexim\nschema_value=server_id 1\n", "schema_value", "has no 'server_id'"),
        (f"{NAMES}code_unknown=250 2.1.5\n", "code_unknown", "5xx 5.x.x or 4xx 4.x.x"),
        (f"{NAMES}code_disabled=550 4.2.1\n", "code_disabled", "not a reply code"),
        (f"{NAMES}code_harvest=250 2.1.5\n", "code_harvest", "4xx 4.x.x or 5xx 5.x.x"),
        (f"{NAMES}text_busy=hello {{user}}\n", "text_busy", "no other braces"),
        (f"{NAMES}text_busy=für\n", "text_busy", "printable ASCII"),
        (f"{NAMES}domain_delimiter=x..y +\n", "domain_delimiter", "not a domain"),
        (f"{NAMES}domain_delimiter=x.example a\n", "domain_delimiter", "neither letters"),
        (f"{NAMES}dry_run_domains=x.example, a b@\n", "dry_run_domains", "not a domain"),
        (f"{NAMES}mode=dryrun\n", "mode", "dry_run"),
    ],
)
def test_what_does_not_go_together(lines: str, key: str, message: str) -> None:
    """What contradicts itself, or is of no use, is refused with the key's name."""
    error = refused(lines)
    assert message in str(error)
    assert error.key == key or not key


def test_replies() -> None:
    """Without keys the replies are those of the verdicts; a key changes its own alone."""
    settings = parse(Path("f.conf"), (BASE + NAMES).encode())
    assert replies_of(settings) == Replies()
    more = "code_disabled=450 4.2.1\ntext_unknown=no {address} here\n"
    settings = parse(Path("f.conf"), (BASE + NAMES + more).encode())
    assert replies_of(settings) == Replies(
        unknown=Reply(550, "5.1.1", "no {address} here"),
        disabled=Reply(450, "4.2.1", Replies().disabled.text),
    )


def test_delimiters_and_domains() -> None:
    """Domains are taken in any form; a domain may have no delimiter at all."""
    found = options(f"{NAMES}domain_delimiter=Bücher.example -_\ndomain_delimiter=x.example\n")
    assert found.delimiters_at == {"xn--bcher-kva.example": "-_", "x.example": ""}


def test_every_schema_can_be_named() -> None:
    """Each name of a schema is taken, on the first database that it runs on."""
    for name, schema in SCHEMAS.items():
        lines = BASE.replace("mysql", schema.drivers[0]) + f"schema={name}\n"
        found = sql_options(parse(Path("f.conf"), lines.encode()))
        assert found.schema == schema
