"""SQL in an address is text: the fault AB04."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from check_user.address import Address, parse
from check_user.directory import Presence
from tests.directory.accounts import PAIR, tables
from tests.directory.backends import BACKENDS, Backend, OnMariaDB, OnPostgreSQL, address

PIECES = ("'", '\\"', "\\\\", ";", "--", "/*", "*/", "%", "_", "$$", "0x", "`", "#", " ", "(", ")",
          " or 1=1", ":s0_0", "?", "$1", "%(s0_0)s", "%s", "{0}", "\\'", "x'", "E'", "''", "u&'",
          "drop table users", "union select", "\\n", "|", "&", "=", "\u02bc", "\uff07")  # fmt: skip


def hostile(number: int) -> list[str]:
    """Local parts, quoted, made of what means something in SQL."""
    chance = random.Random(4)
    made: dict[str, None] = {}
    while len(made) < number:
        text = '"' + "".join(chance.choices(PIECES, k=chance.randint(1, 5))) + '"'
        if isinstance(parse(f"{text}@x.example"), Address):
            made[text] = None
    return list(made)


SERVERS = {
    "mariadb, NO_BACKSLASH_ESCAPES": (
        "new_mariadb",
        OnMariaDB,
        "--sql-mode=NO_BACKSLASH_ESCAPES,ANSI_QUOTES",
    ),
    "postgresql, escapes": ("new_postgresql", OnPostgreSQL, "standard_conforming_strings=off"),
}


@pytest.fixture(params=[*BACKENDS, *SERVERS])
async def attacked(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    if request.param in BACKENDS:
        backend = BACKENDS[request.param](request)
    else:
        new, kind, option = SERVERS[request.param]
        backend = kind(request.getfixturevalue(new)(options=[option]))
    yield backend
    await backend.close()


@pytest.mark.fault("AB04")
@pytest.mark.parametrize("layout", [{}, PAIR], ids=["address", "user and domain"])
async def test_sql_in_an_address(attacked: Backend, layout: dict[str, str]) -> None:
    """A thousand local parts made of SQL: those that are stored are known, the others unknown, each
    to the letter, also where the server escapes differently; and nothing happens to the tables."""
    asked = [address(f"{local}@x.example") for local in hostile(1000)]
    keys = {one.key for one in asked[::4]}
    rows = [(key.removesuffix("@x.example"), "x.example") for key in sorted(keys)]
    attacked.fill(tables(attacked, rows))
    directory = await attacked.open(**layout)
    found = await asyncio.gather(*(directory.find(one) for one in asked))
    wrong = [
        (one.key, said)
        for one, said in zip(asked, found, strict=True)
        if said is not (Presence.KNOWN if one.key in keys else Presence.UNKNOWN)
    ]
    assert wrong == []
    assert attacked.execute("SELECT count(*) FROM users") == [str(len(rows))]
    assert attacked.execute("SELECT domain FROM domains") == ["x.example"]
