"""A process that writes a replica, to be killed or to be given a bad disk.

    python -m tests.directory.replica.writing PATH FIRST [once]

It does one round after another without a pause, or only one. Round n lists USERS users and the user
``round<n>``; when it is done, it says ``n`` on standard output, or what kept it from being done.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from check_user.directory.refresh import Feeder
from check_user.directory.replica import Trouble, Unusable
from tests.directory.replica.keeping import OURS, SOURCE, Listed, users

USERS = 500


def listing(number: int) -> Listed:
    names = [f"user{each:04}" for each in range(USERS)]
    return Listed(users(*names, f"round{number}"), OURS)


async def main(path: Path, first: int, *, once: bool) -> None:
    now = first

    async def open_listing() -> Listed:
        return listing(now)

    feeder = Feeder(path, SOURCE, open_listing, every=60.0, report=print)
    for now in itertools.count(first):
        try:
            await feeder.refresh()
            print(now, flush=True)  # noqa: T201 - it is a program
        except (Trouble, Unusable, OSError) as error:
            print(f"trouble: {error}", flush=True)  # noqa: T201 - it is a program
        if once:
            return


if __name__ == "__main__":
    where, *rest = sys.argv[1:]
    asyncio.run(main(Path(where), int(rest[0]), once=len(rest) > 1))
