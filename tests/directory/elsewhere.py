"""A process that asks a database, for tests that change what a whole process sees.

:func:`elsewhere` starts it; it reads one word a line from standard input and writes one JSON value
for each:

=======  ==========================================================================================
open     opens the directory: ``[opened, seconds, executor]``; executor: how many seconds a task of
         the event loop's shared threads took meanwhile
ask      asks for the three addresses, twenty times at once: ``[[right, soft, seconds], ...]``
await    asks until the answer is right: seconds
clock    the wall clock, in seconds
=======  ==========================================================================================
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from check_user.directory import Unavailable
from check_user.directory.sql import SqlOptions
from tests.directory.asking import TRUTH, Asking, asking_by


class Elsewhere:
    """The process, seen from the test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def __call__(self, word: str) -> Any:
        """Say ``word`` and give what comes back."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{word}\n".encode())
        return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def elsewhere(
    options: SqlOptions,
    *prefix: str | Path,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Elsewhere]:
    """Run the process, by the command ``prefix`` if there is one."""
    process = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-m", __name__, json.dumps(asdict(options))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdin
    try:
        yield Elsewhere(process)
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 5) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def given_options() -> SqlOptions:
    """The options of the command line."""
    given = json.loads(sys.argv[1])
    given["hosts"] = tuple((host, port) for host, port in given["hosts"])
    return SqlOptions(**given)


async def open_it(options: SqlOptions, stack: AsyncExitStack) -> tuple[Asking | None, list[Any]]:
    begun = time.monotonic()
    opening = asyncio.create_task(stack.enter_async_context(asking_by(options)))
    await asyncio.sleep(0.1)
    asked = time.monotonic()
    executed = await asyncio.get_running_loop().run_in_executor(None, time.monotonic)
    try:
        ask = await opening
    except Unavailable:
        ask = None
    return ask, [ask is not None, time.monotonic() - begun, executed - asked]


async def ask_all(ask: Asking) -> list[tuple[bool, bool, float]]:
    answers = await asyncio.gather(*(ask(address) for address in TRUTH for _ in range(20)))
    return [(a.right, a.soft, a.seconds) for a in answers]


async def main() -> None:
    options = given_options()
    ask: Asking | None = None
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            said: object
            if word == "open":
                ask, said = await open_it(options, stack)
            elif word == "clock":
                said = time.time()
            else:
                assert ask is not None
                said = await ask_all(ask) if word == "ask" else await ask.until_right()
            print(json.dumps(said), flush=True)  # noqa: T201 - it is a program


if __name__ == "__main__":
    asyncio.run(main())
