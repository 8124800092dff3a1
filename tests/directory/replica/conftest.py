"""The databases, each with a replica before it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.directory.replica.backends import FRONTED, AnyFronted, made


@pytest.fixture(params=FRONTED)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[AnyFronted]:
    fronted = made(request, request.param)
    yield fronted
    await fronted.close()
