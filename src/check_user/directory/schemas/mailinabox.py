"""Mail-in-a-Box: ``users``, ``aliases``, ``auto_aliases`` in one SQLite file.

There is no table of domains: a domain is ours if anybody is in it, which reads the whole table; a
box has a few hundred addresses. An alias without a destination says who may send, and is none.
``@old`` that goes to ``@new`` is an alias domain.
"""

from __future__ import annotations

from check_user.directory.schemas.declaration import (
    Addresses,
    CatchAll,
    Domains,
    Filled,
    Schema,
)


def _aliases(name: str, table: str, *, optional: bool = False) -> Addresses:
    return Addresses(
        name=name,
        table=table,
        address=("source",),
        only=(Filled("destination"),),
        goes_to="destination",
        catch_all=CatchAll.AT,
        optional=optional,
    )


def _domains(table: str, column: str, *, optional: bool = False) -> Domains:
    return Domains(
        name=f"domain of {table}", table=table, domain=column, of_addresses=True, optional=optional
    )


MAILINABOX = Schema(
    name="mailinabox",
    title="Mail-in-a-Box",
    drivers=("sqlite",),
    addresses=(
        Addresses(name="user", table="users", address=("email",)),
        _aliases("alias", "aliases"),
        _aliases("automatic alias", "auto_aliases", optional=True),
    ),
    domains=(
        _domains("users", "email"),
        _domains("aliases", "source"),
        _domains("auto_aliases", "source", optional=True),
    ),
    needs={},
    newer=(("auto_aliases.source", "56 or later"), ("aliases.permitted_senders", "before 56")),
)
