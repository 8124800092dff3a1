"""The databases with two accounts in them."""

from __future__ import annotations

import pytest

from tests.directory.asking import ACCOUNTS
from tests.peers.database import DatabaseServer


@pytest.fixture(params=["mariadb", "postgresql"])
def database(request: pytest.FixtureRequest) -> DatabaseServer:
    server: DatabaseServer = request.getfixturevalue(request.param)
    server.execute(ACCOUNTS)
    return server
