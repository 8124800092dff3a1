"""The manual's cases, in the tables of every product, on every database that it runs on."""

from __future__ import annotations

import pytest

from check_user.directory.schemas import SCHEMAS
from check_user.directory.sql.schema_lookup import SchemaDirectory
from tests.directory.backends import Backend, address
from tests.directory.schemas.filling import Filling
from tests.directory.schemas.products import PRODUCTS
from tests.directory.schemas.world import cases

DELIMITERS = "+-"

PLACES = [(name, backend) for name, product in PRODUCTS.items() for backend in product.backends]


async def opened(name: str, backend: Backend, **settings: object) -> SchemaDirectory:
    """Make a product's tables, with the manual's accounts in them, and open them."""
    filling = Filling(backend)
    PRODUCTS[name].fill(filling)
    filling.fill()
    given = {"schema": SCHEMAS[name], "schema_values": PRODUCTS[name].values}
    directory = await backend.open(**{**given, "delimiters": DELIMITERS, **settings})
    assert isinstance(directory, SchemaDirectory)
    return directory


@pytest.mark.fault("SQ01", "SQ18", "SQ21", "SQ23", "SQ24")
@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
async def test_the_manuals_cases(name: str, backend: Backend) -> None:
    """Each line of the manual's table holds in every product that has such rows."""
    directory = await opened(name, backend)
    skills = PRODUCTS[name].skills
    expected = {case.address: case.answer for case in cases() if case.needs <= skills}
    found = {text: (await directory.find(address(text))).value for text in expected}
    assert {t: (found[t], e) for t, e in expected.items() if found[t] != e} == {}
