"""The contract of every directory, kept by one with a replica in front; with the database away too.

The tests of ``tests/directory`` that ask about accounts which don't change are run as they are,
over the backends of this folder's ``conftest``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from check_user.directory import Directory, Presence, Unavailable
from tests.directory.accounts import LAYOUTS, NOT_OURS, OURS, STORED, TEXT, expected, fits, tables
from tests.directory.asking import eventually
from tests.directory.backends import address, domain, presences
from tests.directory.replica.backends import AnyFronted
from tests.directory.test_contract import (
    COLUMNS,
    test_a_closed_directory_cannot_tell,
    test_a_name_without_quotes_in_its_own_column,
    test_a_view,
    test_any_name,
    test_enabled,
    test_every_spelling_of_what_is_stored,
    test_every_type_of_column,
    test_many_at_once,
    test_names_in_another_case,
    test_postmaster,
)
from tests.directory.test_semantics import (
    LOOK_ALIKES,
    LOOSE,
    test_a_number_in_a_column_without_a_type,
    test_a_number_is_a_text,
    test_a_truncated_value,
    test_an_extension,
    test_look_alikes,
    test_rows_of_no_meaning,
    test_wildcards_are_characters,
)

__all__ = [
    "test_a_closed_directory_cannot_tell",
    "test_a_name_without_quotes_in_its_own_column",
    "test_a_number_in_a_column_without_a_type",
    "test_a_number_is_a_text",
    "test_a_truncated_value",
    "test_a_view",
    "test_an_extension",
    "test_any_name",
    "test_enabled",
    "test_every_spelling_of_what_is_stored",
    "test_every_type_of_column",
    "test_look_alikes",
    "test_many_at_once",
    "test_names_in_another_case",
    "test_postmaster",
    "test_rows_of_no_meaning",
    "test_wildcards_are_characters",
]


async def until_away(directory: Directory) -> None:
    """Ask until the database is known to be away."""

    while "can't be asked" not in directory.status().sentence:
        with suppress(Unavailable):
            await directory.find(address("somebody.else@x.example"))
        await asyncio.sleep(0.05)


async def alone(backend: AnyFronted, directory: Directory, asked: dict[str, Presence]) -> None:
    """Without the database, the replica says the same about everybody."""
    backend.away()
    try:
        await asyncio.wait_for(until_away(directory), 20)
        assert await presences(directory, asked) == asked
    finally:
        backend.back()


@pytest.mark.fault("SQ01", "SQ24", "DB01")
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_every_spelling_without_the_database(backend: AnyFronted, layout: str) -> None:
    """Known, unknown and foreign, in whatever spelling: with the database away every answer is what
    it was; when it is back, it is asked again without anybody's help."""
    backend.fill(tables(backend))
    directory = await backend.open(**LAYOUTS[layout])
    await alone(backend, directory, expected())
    await eventually(lambda: "can't be asked" not in directory.status().sentence, 10.0)
    assert await presences(directory, expected()) == expected()


async def test_domains_without_the_database(backend: AnyFronted) -> None:
    """Which domains are ours can be told without the database too."""
    backend.fill(tables(backend))
    directory = await backend.open()
    backend.away()
    try:
        await asyncio.wait_for(until_away(directory), 20)
        found = {text: await directory.find_domain(domain(text)) for text in (*OURS, *NOT_OURS)}
    finally:
        backend.back()
    known, foreign = Presence.KNOWN, Presence.FOREIGN
    assert found == dict.fromkeys(OURS, known) | dict.fromkeys(NOT_OURS, foreign)


@pytest.mark.fault("SQ01", "SQ11", "SQ24")
@pytest.mark.parametrize(("backend", "column"), COLUMNS, indirect=["backend"])
async def test_listing_every_type_of_column(backend: AnyFronted, column: str) -> None:
    """Whatever the column's type, collation and character set: what is listed is what is found, so
    the replica alone gives every answer that the database gives."""
    layout = LAYOUTS["address" if "COLLATE" in column else "user and domain"]
    stored = [row for row in STORED if fits("".join(row), column)]
    backend.fill(tables(backend, stored, column))
    await backend.open(**layout)
    asked = expected(column)
    (replica,) = backend.replicas
    assert {text: replica.prove(address(text)) for text in asked} == asked


@pytest.mark.fault("SQ02", "SQ03", "SQ04", "SQ05", "SQ06")
@pytest.mark.parametrize(("backend", "column"), [case[:2] for case in LOOSE], indirect=["backend"])
async def test_listing_look_alikes(backend: AnyFronted, column: str) -> None:
    """A loose collation makes nobody known in the replica, and nobody lost."""
    backend.fill(tables(backend, [(local, "x.example") for local in LOOK_ALIKES], column))
    await backend.open()
    (replica,) = backend.replicas
    for local, others in LOOK_ALIKES.items():
        assert replica.prove(address(f"{local}@x.example")) is Presence.KNOWN
        for other in others:
            assert replica.prove(address(f"{other}@x.example")) is Presence.UNKNOWN


@pytest.mark.fault("SQ18", "SQ24")
async def test_rows_that_hold_no_address(backend: AnyFronted) -> None:
    """What isn't an address isn't listed, and is counted, with one for an example; NULL is nobody,
    and disabled rows aren't listed either."""
    odd = [("anna@x.example", "yes"), ("Anna@X.example ", "yes"), ("not an address", "yes"),
           ("@x.example", "yes"), ("bert@x.example", "no"), (None, "yes"), ("", "yes")]  # fmt: skip
    backend.fill(
        f"CREATE TABLE users (email {TEXT}, active {TEXT}); {backend.insert('users', odd)}"
        f"CREATE TABLE domains (domain {TEXT});"
        + backend.insert("domains", [("x.example",), ("X.Example",), ("no domain",), (None,)])
    )
    await backend.open(email_enabled="active", email_enabled_value="yes")
    meta = backend.replicas[0].meta
    assert meta is not None
    assert (meta.recipients, meta.domains) == (1, 1)
    assert meta.skipped == 4
    assert meta.example == "no domain"
