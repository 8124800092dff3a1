"""Servers in the test's own event loop, on real sockets; each test runs on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from tests.servers.doors import Doors


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    """Opens doors in the test's folder, and closes them after it."""
    made = Doors(tmp_path)
    yield made
    await made.close()
