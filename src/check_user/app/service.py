"""The service in one process (``workers=1``): what serves also reads the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from check_user.app.doors import bind_doors, read
from check_user.app.generation import Generation, prove
from check_user.app.lifecycle import Lifecycle
from check_user.app.serving import Serving


class Service(Lifecycle):
    """One process."""

    def __init__(self, path: Path, started: Callable[[], None]) -> None:
        """Prepare; :meth:`run` does everything."""
        super().__init__(path, started)
        self._serving = Serving()
        self._is_up = False

    async def start(self) -> None:
        """See :class:`Lifecycle`."""
        first = await self._prove()
        self._is_up = True
        await self._serving.start(first)

    async def reload(self) -> None:
        """See :class:`Lifecycle`."""
        await self._serving.take_over(await self._prove())

    async def stop(self) -> None:
        """See :class:`Lifecycle`."""
        if self._is_up:
            await self._serving.stop()

    def say(self, text: str) -> None:
        """See :class:`Lifecycle`."""
        self._serving.say(text)
        self._serving.tell_early()

    def report(self, text: str) -> None:
        """See :class:`Lifecycle`."""
        self._serving.report(text)

    def addresses(self) -> str:
        """See :class:`Lifecycle`."""
        return self._serving.addresses

    async def _prove(self) -> Generation:
        _, settings, doors = await read(self.path)
        listeners = await bind_doors(settings, doors, self._serving.intact)
        serving = self._serving
        return await prove(settings, doors, listeners, serving.report, serving.judge, serving.crowd)
