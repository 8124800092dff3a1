"""The contenders of the doors: check_user's, the bare drivers, and a null server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.databases import Database
from bench.drivers import OF_DATABASE
from bench.generator import ROOT, ask, compiled, cpu_of, measured
from bench.rounds import Contender, Measured, WrongError
from tests.peers.check_user import CheckUser
from tests.peers.process import Server, descendants

DOORS = ("policy", "socketmap", "line")
CLIENTS = (1, 16)

PLAIN_TABLES = {
    "email_table": "users",
    "email_address": "email",
    "domain_table": "domains",
    "domain_domain": "domain",
}
"""What check_user is told about the tables of ``databases``."""

NOTHING_ELSE: Mapping[str, str] = {}


def asked(door: str, *, known: bool = False, batch: int = 1) -> str:
    """What is asked, as the report calls it."""
    return f"{door}{', all known' * known}{', pipelined' * (batch > 1)}"


class Generator:
    """The load generator."""

    def __init__(self) -> None:
        self._program = compiled("loadgen")

    def doors(self, server: Service | NullDoor, load: Path) -> list[Contender]:
        """Every door of a running server, with one client and with sixteen."""
        return [
            self.contender(asked(door), server, clients, load)
            for door in server.sockets
            for clients in CLIENTS
        ]

    def contender(
        self, name: str, server: Service | NullDoor, clients: int, load: Path, batch: int = 1
    ) -> Contender:
        """One of a server's doors; ``name`` is what is asked (:func:`asked`)."""
        door = name.partition(",")[0]
        place = [door, str(server.sockets[door])]

        def run(seconds: float, start: int) -> Measured:
            numbers = (clients, batch, seconds, start)
            return ask(self._program, [*place, *map(str, numbers)], load, partial(cpu_of, server))

        return Contender(name, server.name, clients, run)


class NullDoor(Server):
    """A door without anything behind it: what the generator can do at most."""

    name = "null server"

    def __init__(self, folder: Path, door: str) -> None:
        super().__init__(folder)
        self.sockets = {door: folder / door}
        self._door = door

    def command(self) -> list[str]:
        return [str(compiled("nullserver")), self._door, str(self.sockets[self._door])]

    def start(self) -> None:
        super().start()
        self.sockets[self._door].chmod(0o666)  # Postfix has an account of its own

    def answers(self) -> bool:
        return self.sockets[self._door].is_socket()


class Service(CheckUser):
    """``check-user serve`` with every door on a unix socket, and its default settings but
    ``tables`` and ``settings``. Its log goes to a file. ``name`` says in the report what it asks.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        tables: Mapping[str, str] = PLAIN_TABLES,
        name: str = "",
        settings: Mapping[str, str] = NOTHING_ELSE,
    ) -> None:
        self.name = name or database.name
        self.sockets = {door: folder / door for door in DOORS}
        keys = {**database.settings, **tables, **settings}
        lines = [f"{key}={value}" for key, value in keys.items()]
        lines += [f"listen={door} unix:{path}" for door, path in self.sockets.items()]
        super().__init__(folder, "\n".join(lines) + "\n", self.sockets["line"])

    def build_replica(self) -> float:
        """Fill the replica that the settings name; give the seconds that the listing took."""
        command = [sys.executable, "-m", "check_user", "replica", "build", "--config"]
        done = subprocess.run(
            [*command, str(self.file)], stdout=subprocess.PIPE, text=True, check=True
        )
        (seconds,) = re.findall(r"listed in ([\d.]+) s", done.stdout)
        return float(seconds)

    def resident(self) -> float:
        """The most memory that one process had resident at any time, in MB."""
        return max(_peak(pid) for pid in (self.pid, *descendants(self.pid)))


def _peak(pid: int) -> float:
    """VmHWM, the peak of VmRSS."""
    status = Path(f"/proc/{pid}/status").read_text()
    (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024 / 1e6


ServerT = TypeVar("ServerT", bound=Server)


def running(stack: ExitStack, server: ServerT) -> ServerT:
    """Start it; ``stack`` ends it."""
    stack.callback(server.stop)
    server.start()
    return server


def bare_drivers(stack: ExitStack, database: Database, load: Path) -> list[Contender]:
    """The driver of ``database`` without check_user, on one connection and on sixteen."""
    return [_bare_driver(stack, database, load, connections) for connections in CLIENTS]


def _bare_driver(stack: ExitStack, database: Database, load: Path, connections: int) -> Contender:
    driver = OF_DATABASE[database.name]
    command = [sys.executable, "-m", "bench.drivers", driver, str(connections)]
    command += [database.address, str(load)]
    process = subprocess.Popen(
        command, cwd=ROOT.parent, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    stack.callback(_kill, process)
    assert process.stdin
    assert process.stdout
    words, answers = process.stdin, process.stdout

    def run(seconds: float, start: int) -> Measured:
        print(seconds, start, file=words, flush=True)
        line = answers.readline()
        if not line:
            raise WrongError(f"the bare driver {driver} has ended")
        result = json.loads(line)
        return replace(measured(result), cpu=result["cpu_us"], generator=None)

    return Contender(driver, database.name, connections, run)


def _kill(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
