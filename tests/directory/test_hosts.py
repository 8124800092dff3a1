"""Several hosts, and host names: the first is away, or the names aren't to be had."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.directory.asking import (
    AT_ONCE,
    BACK,
    DEADLINE,
    KNOWN,
    Asking,
    asking,
    options_for,
)
from tests.directory.elsewhere import Elsewhere, elsewhere
from tests.peers.database import DatabaseServer
from tests.peers.faultproxy import FaultProxy
from tests.peers.process import free_port, program

SOON = 0.1
"""Seconds of an answer from the second host, once it is known that the first is away."""

HOME = 8.0
"""Seconds until the first host is asked again after it came back: tried every 4 to 6 s."""


@asynccontextmanager
async def two_ways(
    database: DatabaseServer,
) -> AsyncIterator[tuple[FaultProxy, FaultProxy, Asking]]:
    """Two hosts that lead to the same database."""
    upstream = (database.host, database.port)
    async with FaultProxy(upstream) as first, FaultProxy(upstream) as second:
        hosts = ((database.host, first.port), (database.host, second.port))
        async with asking(database, hosts=hosts) as ask:
            yield first, second, ask


@pytest.mark.fault("DB14")
async def test_the_first_of_two_hosts_is_away(database: DatabaseServer) -> None:
    """The first host freezes or refuses: right within 3 s, the next ones within 100 ms; it comes
    back: it is asked again without a question waiting for that."""
    await asyncio.gather(*(away(database, frozen=frozen) for frozen in (True, False)))


async def away(database: DatabaseServer, *, frozen: bool) -> None:
    async with two_ways(database) as (first, second, ask):
        assert (await ask(KNOWN)).right
        assert not second.connections
        if frozen:
            first.pause()
        else:
            first.refuse()
            first.drop()
        answers = await asyncio.gather(*(ask.everything() for _ in range(10)))
        assert all(a.right and a.seconds <= DEADLINE for three in answers for a in three), answers
        later = [answer for _ in range(30) for answer in await ask.everything()]
        assert all(answer.right for answer in later)
        assert sorted(answer.seconds for answer in later)[-2] <= SOON
        if frozen:
            first.resume()
        else:
            await first.accept()
        begun = time.monotonic()
        while f"asking {database.host}:{first.port}" not in ask.reports[-1]:
            answer = await ask(KNOWN)
            assert answer.right, answer
            assert time.monotonic() - begun <= HOME
            await asyncio.sleep(0.01)
        asked = sum(connection.asked for connection in second.connections)
        assert (await ask(KNOWN)).right
        assert sum(connection.asked for connection in second.connections) == asked


class NameServer(asyncio.DatagramProtocol):
    """A DNS server (RFC 1035) that has one answer, or none: ``addresses`` None is NXDOMAIN."""

    def __init__(self) -> None:
        self.addresses: list[str] | None = []
        self.silent = True
        self.asked = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, peer: Any) -> None:
        self.asked += 1
        if not self.silent:
            self.transport.sendto(self.reply(data), peer)

    def reply(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5  # the name, type and class of the question
        is_a = query[end - 4 : end - 2] == b"\0\1"
        found = self.addresses if is_a and self.addresses else []
        flags = 0x8180 if self.addresses is not None else 0x8183
        header = query[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
        records = [b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(a) for a in found]
        return header + query[12:end] + b"".join(records)


NAME = "db.check-user.example"
RUN = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


@asynccontextmanager
async def by_name(
    database: DatabaseServer, port: int, folder: Path
) -> AsyncIterator[tuple[NameServer, Elsewhere]]:
    """Ask from a mount namespace in which ``NAME`` is what our name server says."""
    address = f"127.53.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, (address, 53))
    conf = folder / "resolv.conf"
    conf.write_text(f"nameserver {address}\n")
    options = options_for(database, hosts=((NAME, port),))
    unshare = (program("unshare", "util-linux"), "-m", "sh", "-c", RUN, conf)
    try:
        async with elsewhere(options, *unshare) as said:
            yield server, said
    finally:
        transport.close()


@pytest.mark.fault("DB15", "DB16", "OS12")
async def test_the_name_of_the_host(database: DatabaseServer, tmp_path: Path) -> None:
    """A silent DNS: Unavailable within 3 s at start, and other work goes on; a new address is found
    after a failover, also the second of two; NXDOMAIN is DENYSOFT; when DNS falls silent while we
    run, the last addresses serve."""
    upstream, port = (database.host, database.port), free_port()
    async with (
        FaultProxy(upstream, ("127.0.0.2", port)) as old,
        FaultProxy(upstream, ("127.0.0.3", port)) as new,
        by_name(database, port, tmp_path) as (dns, said),
    ):
        opened, seconds, executor = await said("open")
        assert dns.asked
        assert not opened
        assert seconds <= DEADLINE + AT_ONCE
        assert executor <= AT_ONCE

        dns.silent, dns.addresses = False, ["127.0.0.2"]
        assert (await said("open"))[0]
        assert all(right for right, *_ in await said("ask"))
        assert old.connections

        dns.addresses = ["127.0.0.3"]
        old.refuse()
        await old.settle()  # a connection may have been opened just now for the many questions
        old.drop()
        assert await said("await") <= BACK
        assert new.connections

        dns.addresses = None
        new.drop()
        assert all(soft for _, soft, _ in await said("ask"))
        dns.addresses = ["127.0.0.2", "127.0.0.3"]
        assert await said("await") <= BACK

        dns.silent = True
        new.drop()
        answers = await said("ask")
        assert all(right and seconds <= DEADLINE for right, _, seconds in answers), answers


@pytest.mark.fault("DB17")
async def test_a_fork(database: DatabaseServer) -> None:
    """Four children of a fork ask over the parent's directory: faults, and never an answer; the
    parent's answers stay right."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.directory.forking"),
        json.dumps(asdict(options_for(database))),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    said = json.loads(out)
    assert said["parent"] == {"right": 400}
    assert said["children"] == [{"soft": 20, "session": "refused"}] * 4
