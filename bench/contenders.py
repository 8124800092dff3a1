"""The contenders of the doors: check_user's, the bare drivers, ``postmap``, and a null server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from bench.accounts import read_load
from bench.databases import Database
from bench.drivers import OF_DATABASE, endless
from bench.generator import ROOT, ask, compiled, cpu_of, measured
from bench.rounds import Contender, Measured, WrongError
from tests.peers.check_user import CheckUser
from tests.peers.database import DATABASE, PASSWORD, USER
from tests.peers.process import descendants, program, wait_until

DOORS = ("policy", "socketmap", "line")
CLIENTS = (1, 16)


class Generator:
    """The load generator and the null server."""

    def __init__(self) -> None:
        self.loadgen = compiled("loadgen")
        self.nullserver = compiled("nullserver")

    def null(self, stack: ExitStack, root: Path, load: Path) -> list[Contender]:
        """Doors without anything behind them: what the generator can do at most."""
        return [
            self._contender(door, "null server", clients, socket, load)
            for door in DOORS
            for socket in [self._null_door(stack, root, door)]
            for clients in CLIENTS
        ]

    def _null_door(self, stack: ExitStack, root: Path, door: str) -> Path:
        socket = root / f"null-{door}"
        process = subprocess.Popen([self.nullserver, door, socket])
        stack.callback(_kill, process)
        if not wait_until(socket.is_socket, 5):
            raise WrongError("the null server doesn't start")
        return socket

    def doors(self, service: Service, load: Path) -> list[Contender]:
        """Every door of a running ``check-user serve``."""
        return [
            self._contender(door, service.database, clients, service.sockets[door], load, service)
            for door in DOORS
            for clients in CLIENTS
        ]

    def all_known(self, service: Service, load: Path) -> Contender:
        """One of them with a load in which nobody is unknown."""
        socket = service.sockets["policy"]
        return self._contender("policy, all known", service.database, 16, socket, load, service)

    def _contender(
        self,
        name: str,
        database: str,
        clients: int,
        socket: Path,
        load: Path,
        service: Service | None = None,
    ) -> Contender:
        door = name.partition(",")[0]

        def run(seconds: float, start: int) -> Measured:
            arguments = [door, str(socket), str(clients), str(seconds), str(start)]
            cpu = partial(cpu_of, service) if service else None
            return ask(self.loadgen, arguments, load, cpu)

        return Contender(name, database, clients, run)


class Service(CheckUser):
    """``check-user serve`` with every door on a unix socket, and its default settings.

    Its log goes to a file.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database.name
        self.sockets = {door: folder / door for door in DOORS}
        tables = {
            "email_table": "users",
            "email_address": "email",
            "domain_table": "domains",
            "domain_domain": "domain",
        }
        lines = [f"{key}={value}" for key, value in (database.settings | tables).items()]
        lines += [f"listen={door} unix:{path}" for door, path in self.sockets.items()]
        super().__init__(folder, "\n".join(lines) + "\n", self.sockets["line"])

    def resident(self) -> float:
        """The most memory that one process had resident at any time, in MB."""
        return max(_peak(pid) for pid in (self.pid, *descendants(self.pid)))


def _peak(pid: int) -> float:
    """VmHWM, the peak of VmRSS."""
    status = Path(f"/proc/{pid}/status").read_text()
    (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024 / 1e6


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


class Postmap:
    """``postmap -q -`` on Postfix's own ``mysql:`` map: a key a line, one connection.

    How many keys it is given follows from its last rate. The time that it needs to start, taken
    with a single key, is subtracted.
    """

    def __init__(self, root: Path, socket: str, load: Path) -> None:
        self._folder = root / "postfix"
        self._folder.mkdir()
        (self._folder / "main.cf").write_text("compatibility_level = 3.6\n")
        self._map = self._folder / "users.cf"
        self._map.write_text(
            f"hosts = unix:{socket}\nuser = {USER}\npassword = {PASSWORD}\ndbname = {DATABASE}\n"
            "query = SELECT email FROM users WHERE email = '%s'\n"
        )
        self._load = read_load(load)
        self._rate = 5000.0

    def contender(self) -> Contender:
        """It, as one client."""
        return Contender("postmap", "MariaDB", 1, self._run)

    def _run(self, seconds: float, start: int) -> Measured:
        keys = list(islice(endless(self._load, start), int(self._rate * seconds)))
        starting = self._ask(keys[:1])
        took = self._ask(keys)
        self._rate = (len(keys) - 1) / (took - starting)
        return Measured(self._rate)

    def _ask(self, keys: Sequence[tuple[str, bool]]) -> float:
        """Ask for ``keys``; give the seconds. Raises WrongError."""
        questions, answers = self._folder / "keys", self._folder / "answers"
        questions.write_text("".join(f"{address}\n" for address, _ in keys))
        command = [program("postmap", "postfix", "/usr/sbin"), "-c", str(self._folder)]
        command += ["-q", "-", f"mysql:{self._map}"]
        with questions.open() as given, answers.open("w") as taken:
            begun = time.perf_counter()
            subprocess.run(command, stdin=given, stdout=taken, check=False)
            took = time.perf_counter() - begun
        right = "".join(f"{address}\t{address}\n" for address, is_known in keys if is_known)
        if answers.read_text() != right:
            raise WrongError("postmap gave other answers than it should")
        return took


def _kill(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
