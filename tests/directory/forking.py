"""A process that opens a directory, forks four children, and asks with all five.

``python -m tests.directory.forking OPTIONS`` writes one JSON object: what the parent was answered,
and what each child was.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from typing import Any

from check_user.directory.sql.lookup import SqlDirectory
from tests.directory.asking import TRUTH, Answered, Asking, asking_by
from tests.directory.elsewhere import given_options

CHILDREN = 4


def sort(answer: Answered) -> str:
    return "right" if answer.right else "soft" if answer.soft else "wrong"


async def ask_many(ask: Asking, times: int) -> Counter[str]:
    addresses = [list(TRUTH)[n % len(TRUTH)] for n in range(times)]
    return Counter([sort(await ask(address)) for address in addresses])


async def use_a_session(ask: Asking) -> str:
    """Go past the pool: ask over a held connection."""
    assert isinstance(ask.directory, SqlDirectory)
    (session,) = ask.directory._pool._idle
    statement = ask.directory._catalogue.domain.statement(1)
    try:
        await session.execute(statement, {"s0_0": "example.org"})
    except RuntimeError as error:
        return "refused" if "across a fork" in str(error) else str(error)
    return "answered"


async def child(ask: Asking) -> dict[str, Any]:
    session = await use_a_session(ask)
    return {**await ask_many(ask, 20), "session": session}


def fork(ask: Asking) -> int:
    """Fork; give the parent the end of a pipe on which the child says what it was answered."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return reading
    said = asyncio.run(child(ask))
    os.write(writing, json.dumps(said, sort_keys=True).encode())
    os._exit(0)


def read(pipe: int) -> Any:
    with open(pipe, "rb") as stream:
        return json.loads(stream.read())


async def main() -> None:
    async with asking_by(given_options()) as ask:
        await ask_many(ask, 1)
        pipes = [fork(ask) for _ in range(CHILDREN)]
        parent = await ask_many(ask, 400)
        children = [await asyncio.to_thread(read, pipe) for pipe in pipes]
    print(json.dumps({"parent": parent, "children": children}))  # noqa: T201 - it is a program


if __name__ == "__main__":
    asyncio.run(main())
