"""The databases: with two accounts in them, or for the test to fill."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.directory.accounts import LAYOUTS
from tests.directory.asking import ACCOUNTS
from tests.directory.backends import BACKENDS, Backend, OnServer
from tests.peers.database import DatabaseServer


@pytest.fixture(params=["mariadb", "postgresql"])
def database(request: pytest.FixtureRequest) -> DatabaseServer:
    server: DatabaseServer = request.getfixturevalue(request.param)
    server.execute(ACCOUNTS)
    return server


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    made = BACKENDS[request.param](request)
    yield made
    await made.close()


@pytest.fixture(params=["mariadb", "postgresql"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[OnServer]:
    made = BACKENDS[request.param](request)
    assert isinstance(made, OnServer)
    yield made
    await made.close()


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> dict[str, str]:
    return LAYOUTS[request.param]
