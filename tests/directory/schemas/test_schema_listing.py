"""The listing of a schema, from which a replica is filled."""

from __future__ import annotations

import pytest

from check_user.directory import Misconfigured, Presence
from check_user.directory.listing import ASK
from check_user.directory.schemas import SCHEMAS
from check_user.directory.sql.listing import open_listing
from tests.directory.backends import Backend, address, domain
from tests.directory.schemas.products import PRODUCTS
from tests.directory.schemas.test_schemas import PLACES, opened
from tests.directory.schemas.world import cases

LISTED = ("known", "disabled", "refused", "busy")


async def listed(name: str, backend: Backend, **settings: object) -> tuple[dict[str, str], ...]:
    """The entries of domains and of recipients; a key that comes again is known, if any says so."""
    given = {"schema": SCHEMAS[name], "schema_values": PRODUCTS[name].values, **settings}
    listing = await open_listing(backend.options(**given), backend.reports.append)
    found: list[dict[str, str]] = []
    try:
        for batches in (listing.domains(), listing.recipients()):
            entries: dict[str, str] = {}
            async for batch in batches:
                for key, word in batch:
                    if entries.get(key) != Presence.KNOWN.value:
                        entries[key] = word
            found.append(entries)
        assert await listing.count() >= len(found[1])
    finally:
        await listing.aclose()
    return tuple(found)


@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
async def test_what_is_listed_is_what_is_answered(name: str, backend: Backend) -> None:
    """Every key of a listing has the answer of the database; every other address of a listed domain
    has the domain's, or has to be asked for; and every stored address of the manual is listed."""
    directory = await opened(name, backend, delimiters="")
    domains, recipients = await listed(name, backend)
    for key, word in recipients.items():
        assert (await directory.find(address(key))).value == word, key
    for key, word in domains.items():
        assert await directory.find_domain(domain(key)) is Presence.KNOWN
        answer = await directory.find(address(f"no.such.user@{key}"))
        assert word in (answer.value, ASK), key
    stored = {
        address(case.address).key
        for case in cases()
        if case.needs <= PRODUCTS[name].skills and case.answer in LISTED
    }
    extended = {key for key in stored if "+" in key and not key.startswith("sales+eu@")}
    elsewhere = {key for key in stored if domains[key.rpartition("@")[2]] == ASK}
    missing = stored - extended - recipients.keys()
    assert {key for key in missing if key not in elsewhere} == set()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_what_a_list_cannot_say(backend: Backend) -> None:
    """With delimiters a catch-all's domain has to be asked for, since the address without its
    extension comes first; with check_targets, aliases as well."""
    await opened("postfixadmin", backend)
    domains, recipients = await listed("postfixadmin", backend)
    assert domains["catchall.example"] == Presence.CATCH_ALL.value
    assert domains["example.net"] == ASK
    assert recipients["bert@example.org"] == Presence.KNOWN.value
    domains, recipients = await listed("postfixadmin", backend, delimiters="+", check_targets=True)
    assert domains["catchall.example"] == ASK
    assert recipients["bert@example.org"] == ASK
    assert recipients["anna@example.org"] == Presence.KNOWN.value


async def test_a_query_cannot_be_listed(backend: Backend) -> None:
    """What stands behind a site's own query isn't known; a replica is refused, with the reason."""
    backend.fill("CREATE TABLE users (email varchar(99));")
    options = backend.options(
        email_query="SELECT email FROM users WHERE email = :address",
        domain_query="SELECT email FROM users WHERE email = :domain",
    )
    with pytest.raises(Misconfigured, match="email_query can't be listed"):
        await open_listing(options, backend.reports.append)
