"""The supervisor: several processes behind the same sockets (``workers=N``).

It reads the configuration and binds the doors, but has no directory and no clients: the workers do,
each accepting from the same listening sockets. So a client that comes while a worker dies waits in
the kernel's queue for another, and no worker's end touches another's connections.

The first worker that serves has proven the configuration for all. The others follow side by side,
and are waited for, but not for long; one that fails then is tried again, as after a death. A worker
that has ended is replaced at once; one that doesn't live for a second, a second later. All are
given the configuration that was proven, whatever is in the file meanwhile. A reload is two steps:
every worker proves the new configuration; only when all have done so does each take it over. Should
the supervisor itself be killed, the workers see the end of their wires, and stop as if they were
told to.

How long a proof takes is the database's affair, and the replica's size. What tells a worker that
works from one that hangs is its event loop, which gives a sign of life every second (``control``);
a worker that gave none for half a minute is killed, and so replaced.

Workers are spawned, never forked: no connection to a database is ever shared.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from check_user.app.control import PULSE, Message, Wire
from check_user.app.doors import (
    DRAIN,
    Doors,
    Listeners,
    bind_doors,
    close,
    read,
    refuse_changed_doors,
)
from check_user.app.lifecycle import Lifecycle
from check_user.app.log import journal_of, set_log
from check_user.config import ConfigError, Settings
from check_user.directory import Misconfigured, Unavailable
from check_user.gateway import crowd
from check_user.servers import capacity
from check_user.telemetry import Journal, Level

SILENCE = 30
"""Looks, one each PULSE, without a sign of life from a worker until it is killed: it may have to
load its modules from a slow disk before it gives the first. Looks, not seconds on a clock: when the
whole service was frozen and goes on, one look has passed."""

COMPANY = 10.0
"""Seconds for which the first worker serves before the service is called ready without others."""

SHORT_LIFE = 1.0
"""Seconds; a worker that ended sooner is replaced only after as long."""

GRACE = 1.0
"""Seconds beyond DRAIN until a worker that doesn't end is killed."""

WORKER = "check_user.app.worker"

OURS = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""What the service manager said to the supervisor alone."""


class Child:
    """One worker's process and the wire to it."""

    def __init__(self, path: Path, memories: Sequence[int], place: int) -> None:
        """Spawn it; ``memories`` are the descriptors of those in which it has ``place``."""
        self.place = place
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - ourselves
                [
                    sys.executable,
                    "-m",
                    WORKER,
                    str(path),
                    *map(str, (theirs.fileno(), *memories, place)),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *memories],
                env={name: value for name, value in os.environ.items() if name not in OURS},
            )
        self.wire = Wire(ours)
        self.began = asyncio.get_running_loop().time()
        self.counts: dict[str, int] = {}
        self.silent = 0
        """Looks since its last sign of life."""
        self.ended = asyncio.Event()
        self._answer: asyncio.Future[Message] | None = None
        self._listening = asyncio.create_task(self._listen())

    async def prepare(self, data: bytes, listeners: Listeners, doors: Doors) -> None:
        """Have it prove the configuration ``data``. Raises what that raised there."""
        given = [[doors[each].listen.address, len(it.sockets)] for each, it in listeners.items()]
        sockets = [each.fileno() for listener in listeners.values() for each in listener.sockets]
        with _in_memory(data) as file:
            answer = await self._ask({"do": "prepare", "doors": given}, [file.fileno(), *sockets])
        if answer["said"] != "ready":
            raise _error(answer)

    async def commit(self) -> None:
        """Have it serve what it has proven. Raises Unavailable."""
        await self._ask({"do": "commit"}, ())

    def tell(self, what: str) -> None:
        """Say ``discard`` or ``stop``."""
        self.wire.send({"do": what})

    async def _ask(self, message: Message, descriptors: Sequence[int]) -> Message:
        """Wait for an answer, or for the worker's end (Unavailable): one that hangs is killed."""
        self._answer = asyncio.get_running_loop().create_future()
        self.wire.send(message, descriptors)
        return await self._answer

    async def end(self, patience: float) -> None:
        """Wait for its end, and bring it about after ``patience`` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self.ended.wait()
        except TimeoutError:
            self.process.kill()
            await self.ended.wait()

    async def _listen(self) -> None:
        """Take what it says until it has gone."""
        while (came := await self.wire.receive()) is not None:
            message, _ = came
            self.silent = 0
            match message["said"]:
                case "alive":
                    pass
                case "counts":
                    self.counts = message["counts"]
                case _ if self._answer is not None and not self._answer.done():
                    self._answer.set_result(message)
        self.wire.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Unavailable(f"worker {self.process.pid} ended"))
        await asyncio.get_running_loop().run_in_executor(None, self._wait)
        self.ended.set()

    def _wait(self) -> None:
        """The wire is closed: the process has ended, or is about to."""
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Supervisor(Lifecycle):
    """The parent of ``workers`` processes."""

    def __init__(self, path: Path, started: Callable[[], None], workers: int) -> None:
        """Prepare; :meth:`run` does everything."""
        super().__init__(path, started)
        self._workers = workers
        self._children: list[Child] = []
        """Those that serve."""
        self._all: list[Child] = []
        """Those and the ones that are about to."""
        self._memories = (capacity.share(workers), crowd.share(workers))
        self._listeners: Listeners = {}
        self._doors: Doors = {}
        self._data = b""
        """The configuration that was proven: a worker that is replaced has the others', whatever
        is in the file meanwhile."""
        self._counts: Counter[str] = Counter()
        self._journal: Journal | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._stopping = False

    async def start(self) -> None:
        """See :class:`Lifecycle`. The first worker proves the configuration for all."""
        self._data, settings, self._doors = await read(self.path)
        self._listeners = await bind_doors(settings, self._doors, ())
        self._spawn(self._watch_pulses())
        await self._add()
        self._journal = journal_of(settings)
        await asyncio.wait({self._spawn(self._fill())}, timeout=COMPANY)

    async def reload(self) -> None:
        """See :class:`Lifecycle`."""
        async with self._reloading:
            data, settings, doors = await read(self.path)
            intact = {each for each, listener in self._listeners.items() if listener.is_intact()}
            refuse_changed_doors(self._doors, settings, doors)
            new = await bind_doors(settings, doors, intact)
            children = list(self._children)
            try:
                await asyncio.gather(*(child.prepare(data, new, doors) for child in children))
            except BaseException:
                for child in children:
                    child.tell("discard")
                close(new)
                raise
            await asyncio.gather(*(_commit(child) for child in children))
            self._data = data
            self._take_over(settings, doors, new)

    async def stop(self) -> None:
        """See :class:`Lifecycle`."""
        self._stopping = True
        for child in self._children:
            child.tell("stop")
        close(self._listeners)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        ending = [child.end(DRAIN + GRACE) for child in self._children]
        await asyncio.gather(*ending, *tasks, return_exceptions=True)
        for child in self._children:
            self._counts.update(child.counts)
        if self._journal is not None:
            said = ", ".join(f"{number} {reason}" for reason, number in self._counts.most_common())
            self.say(f"decisions of {self._workers} workers: {said or 'none'}")
            self._journal.close()

    def say(self, text: str) -> None:
        """See :class:`Lifecycle`."""
        if self._journal is not None:
            self._journal.say(Level.INFO, text)

    def report(self, text: str) -> None:
        """See :class:`Lifecycle`."""
        if self._journal is not None:
            self._journal.say(Level.WARNING, text)

    def addresses(self) -> str:
        """See :class:`Lifecycle`."""
        return ", ".join(
            f"{self._doors[endpoint].name} at {address}"
            for endpoint, listener in self._listeners.items()
            for address in listener.addresses
        )

    def _take_over(self, settings: Settings, doors: Doors, new: Listeners) -> None:
        """The workers serve the new doors: so do we, and let go of those that are gone."""
        gone = {each: it for each, it in self._listeners.items() if each not in doors}
        replaced = {each: self._listeners[each] for each in new if each in self._listeners}
        self._listeners = {
            **{each: it for each, it in self._listeners.items() if each in doors},
            **new,
        }
        close(gone)
        close(replaced)
        self._doors = doors
        if self._journal is not None:
            set_log(self._journal, settings)

    async def _add(self) -> None:
        """Start one more worker. Raises what keeps it from serving."""
        place = min(set(range(self._workers)) - {child.place for child in self._all})
        child = Child(self.path, self._memories, place)
        self._all.append(child)
        try:
            await child.prepare(self._data, self._listeners, self._doors)
            await child.commit()
        except BaseException:
            self._all.remove(child)
            child.tell("stop")
            await child.end(GRACE)
            raise
        self._children.append(child)
        self._spawn(self._watch(child))

    async def _watch(self, child: Child) -> None:
        """Replace the worker when it has ended."""
        await child.ended.wait()
        crowd.forget(self._memories[1], child.place)
        if self._stopping:
            return
        self._children.remove(child)
        self._all.remove(child)
        self._counts.update(child.counts)
        lived = asyncio.get_running_loop().time() - child.began
        self.report(f"worker {child.process.pid} ended ({_status(child.process.returncode)})")
        if lived < SHORT_LIFE:
            await asyncio.sleep(SHORT_LIFE)
        await self._replace()

    async def _watch_pulses(self) -> None:
        """Kill the workers that hang: to everybody who waits for one, it is dead then."""
        while True:
            await asyncio.sleep(PULSE)
            for child in self._all:
                child.silent += 1
                if child.silent == SILENCE:
                    self.report(f"worker {child.process.pid} gives no sign of life")
                    child.process.kill()

    async def _fill(self) -> None:
        """Start the workers that are missing."""
        async with self._reloading:
            missing = self._workers - len(self._all)
            serving = await asyncio.gather(*(self._is_added() for _ in range(missing)))
        for _ in range(serving.count(False)):
            self._spawn(self._replace())

    async def _replace(self) -> None:
        """Start workers until one serves: what keeps one from it now may be over soon."""
        while True:
            async with self._reloading:
                if await self._is_added():
                    return
            await asyncio.sleep(SHORT_LIFE)

    async def _is_added(self) -> bool:
        """Start one more worker; say in the log why there is none, if there isn't."""
        try:
            await self._add()
        except (ConfigError, Misconfigured, Unavailable) as error:
            self.report(f"no further worker: {error}")
            return False
        return True

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _in_memory(data: bytes) -> BinaryIO:
    """Make a file that nobody else can open: there may be a password in it."""
    file = os.fdopen(os.memfd_create("configuration"), "w+b")
    file.write(data)
    file.seek(0)
    return file


async def _commit(child: Child) -> None:
    """A worker that can't do what it has proven is replaced by one that begins with it."""
    try:
        await child.commit()
    except Unavailable:
        child.process.kill()


def _error(answer: Message) -> Exception:
    arguments = answer["arguments"]
    match answer["kind"]:
        case "ConfigError":
            file, line, key, message = arguments
            return ConfigError(Path(file), line, key, message)
        case "Misconfigured":
            return Misconfigured(*arguments)
        case "Unavailable":
            return Unavailable(*arguments)
        case kind:
            return Unavailable(f"a worker failed: {kind}: {arguments[0]}")


def _status(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
