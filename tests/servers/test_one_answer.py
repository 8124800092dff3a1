"""A protocol that ends with its first answer, over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from check_user.protocols import Lookup
from check_user.protocols.exim import EximCodec
from check_user.servers.talk import Decide
from check_user.verdict import Verdict
from tests.protocols.asking import decide
from tests.servers.doors import Doors, rest


async def decide_slowly(lookup: Lookup) -> Verdict:
    await asyncio.sleep(0.01)
    return decide(lookup)


@pytest.mark.fault("PC04")
@pytest.mark.parametrize("ask", [decide, decide_slowly])
@pytest.mark.parametrize("half_close", [True, False])
async def test_the_answer_and_then_the_end(doors: Doors, ask: Decide, half_close: bool) -> None:
    """The client reads its answer and the end, whether it ended its own half or not."""
    door = await doors.open(ask, codec=EximCodec)
    streams = await door.connect()
    streams[1].write(b"anna@example.org\n")
    if half_close:
        streams[1].write_eof()
    assert await rest(streams) == b"DECLINED known\n"
    await door.left()
