"""A worker: a process that serves the doors that its supervisor has bound.

    python -m check_user.app.worker FILE WIRE SHARES CROWD PLACE

``WIRE`` is the descriptor of its end of the wire (see ``control``); ``SHARES`` and ``CROWD`` are
those of the memories in which the workers count their clients, and the gateway's by their networks;
there it has the place ``PLACE``. It is given the configuration that was in ``FILE``, opens a
directory of its own, and takes its part of the clients. Signals are the supervisor's affair; the
worker ends when it is told to, or when nobody is there to tell it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from check_user.app.control import PULSE, Wire
from check_user.app.doors import Doors, Listeners, close, read
from check_user.app.generation import Generation, prove
from check_user.app.process import prepare, run, spare_the_collector
from check_user.app.serving import Serving
from check_user.config import ConfigError
from check_user.gateway.crowd import Crowd
from check_user.servers.capacity import Shares
from check_user.servers.listen import Listener


class Worker:
    """What the supervisor says, done."""

    def __init__(self, path: Path, wire: Wire, shares: Shares, crowd: Crowd) -> None:
        """Wait for the first message."""
        self._path = path
        self._wire = wire
        self._serving = Serving(shares, crowd)
        self._is_up = False
        self._prepared: Generation | None = None

    async def run(self) -> None:
        """Obey until the end."""
        pulse = asyncio.create_task(self._pulse())
        try:
            await self._obey()
        finally:
            pulse.cancel()

    async def _pulse(self) -> None:
        """Give a sign of life from the event loop, so that one that hangs is noticed."""
        while True:
            self._wire.send({"said": "alive"})
            await asyncio.sleep(PULSE)

    async def _obey(self) -> None:
        while (came := await self._wire.receive()) is not None:
            message, descriptors = came
            match message["do"]:
                case "prepare":
                    await self._prepare(message["doors"], descriptors)
                case "commit":
                    await self._commit()
                case "discard":
                    await self._discard()
                case _:
                    break
        await self._discard()
        if self._is_up:
            await self._serving.stop()
            self._wire.send({"said": "counts", "counts": self._serving.counts})

    async def _prepare(self, given: list[list[Any]], descriptors: list[int]) -> None:
        """Prove the configuration, and say how that went."""
        await self._discard()
        configuration, *rest = descriptors
        sockets = [socket.socket(fileno=each) for each in rest]
        try:
            with os.fdopen(configuration, "rb") as file:
                data = file.read()
            _, settings, doors = await read(self._path, data)
            listeners = _listeners(doors, given, sockets)
            serving = self._serving
            self._prepared = await prove(
                settings, doors, listeners, serving.report, serving.judge, serving.crowd
            )
        except Exception as error:  # noqa: BLE001 - a door to the outside: the supervisor is told
            for each in sockets:
                each.close()
            self._wire.send(_failure(error))
        else:
            self._wire.send({"said": "ready"})

    async def _commit(self) -> None:
        """Serve what was prepared. It was proven: a failure now ends the worker."""
        new, self._prepared = self._prepared, None
        if new is None:
            return
        if self._is_up:
            await self._serving.take_over(new)
        else:
            self._is_up = True
            await self._serving.start(new)
            spare_the_collector()
        self._serving.tell_early()
        self._wire.send({"said": "serving"})

    async def _discard(self) -> None:
        old, self._prepared = self._prepared, None
        if old is not None:
            await old.discard()


def _listeners(doors: Doors, given: list[list[Any]], sockets: list[socket.socket]) -> Listeners:
    """The listeners that were handed over, by their endpoints. Raises ConfigError."""
    by_address = {door.listen.address: endpoint for endpoint, door in doors.items()}
    listeners: Listeners = {}
    rest = list(sockets)
    for address, number in given:
        mine, rest = rest[:number], rest[number:]
        endpoint = by_address.get(address)
        if endpoint is None:
            close(listeners)
            raise ConfigError(Path(), 0, "listen", f"{address} is gone: the file has just changed")
        path = address.removeprefix("unix:") if address.startswith("unix:") else ""
        listeners[endpoint] = Listener(mine, path, is_shared=True)
    return listeners


def _failure(error: Exception) -> dict[str, Any]:
    if isinstance(error, ConfigError):
        arguments: list[Any] = [str(error.file), error.line, error.key, error.message]
    else:
        arguments = [str(error)]
    return {"said": "failed", "kind": type(error).__name__, "arguments": arguments}


async def _main(path: Path, descriptor: int, shares: int, crowd: int, place: int) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGHUP, signal.SIGINT):  # a terminal sends them to everybody
        loop.add_signal_handler(number, int)
    wire = Wire(socket.socket(fileno=descriptor))
    try:
        await Worker(path, wire, Shares(shares, place), Crowd(crowd, place)).run()
    finally:
        wire.close()


if __name__ == "__main__":
    prepare()
    file, *numbers = sys.argv[1:]
    run(_main(Path(file), *map(int, numbers)))
