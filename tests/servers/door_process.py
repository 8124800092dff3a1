"""A line door as a process: ``python -m tests.servers.door_process LOOP ADDRESS FILES``.

It says its address, serves until its standard input ends, and may open FILES descriptors.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from check_user.protocols.line import LineCodec
from check_user.servers.capacity import Capacity
from check_user.servers.listen import bind, parse_endpoint
from check_user.servers.stream import StreamServer
from check_user.servers.talk import plain
from tests.protocols.asking import decide


@dataclass(frozen=True, slots=True)
class DoorProcess:
    """A running door."""

    process: subprocess.Popen[bytes]
    address: str

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.address.rpartition(":")[2])

    def resident(self) -> int:
        """Its memory in octets (proc(5): VmRSS)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def seconds(self) -> float:
        """Its processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def files(self) -> int:
        """Its open descriptors."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@contextmanager
def door_process(loop: str, address: str, files: int = 0) -> Iterator[DoorProcess]:
    """Run a door for a test; ``files`` limits its descriptors (0: as many as we may have)."""
    command = [sys.executable, "-m", "tests.servers.door_process", loop, address, str(files)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield DoorProcess(process, process.stdout.readline().decode().strip())
        finally:
            process.kill()


def report(text: str) -> None:
    sys.stderr.write(f"{text}\n")


async def serve(address: str) -> None:
    server = StreamServer(
        plain(LineCodec, decide),
        report=report,
        capacity=Capacity.of_process(),
    )
    server.start(await bind(parse_endpoint(address)))
    assert server.listener is not None
    sys.stdout.write(f"{server.listener.addresses[0]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.drain(1.0)


def main() -> None:
    loop, address, files = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(files) or hard, hard))
    if loop == "uvloop":
        uvloop.run(serve(address))
    else:
        asyncio.run(serve(address))


if __name__ == "__main__":
    main()
