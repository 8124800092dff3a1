"""Doors with short limits; each test runs on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import uvloop

from check_user.servers import stream
from tests.smtp_limits.door import SmtpDoor, open_door

Opens: TypeAlias = Callable[..., Awaitable[SmtpDoor]]


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opens]:
    """Opens doors that look at the time limits fifty times a second, not once."""
    monkeypatch.setattr(stream, "TICK", 0.02)
    doors: list[SmtpDoor] = []

    async def opened(**limits: Any) -> SmtpDoor:
        doors.append(await open_door(tmp_path, **limits))
        return doors[-1]

    yield opened
    for door in doors:
        await door.aclose()
