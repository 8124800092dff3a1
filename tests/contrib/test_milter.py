"""The ``milter`` door with its clients: Debian's miltertest, and what the mail servers send."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from check_user.protocols import Lookup, Mark, Output
from check_user.protocols.milter import MilterCodec
from check_user.verdict import known
from tests.contrib.recipients import KNOWN, talking
from tests.contrib.sites import SITES, running
from tests.peers.check_user import StartCheckUser
from tests.peers.mariadb import MariaDB
from tests.peers.process import program
from tests.peers.smtp import OUTSIDER
from tests.peers.stranger import Stranger

SCRIPT = Path(__file__).with_name("milter.lua")
OFFERS = {2: 0x7F, 3: 0x1FF, 4: 0x3FF, 6: 0x1FFFFF}
"""What mail servers of each version offer to leave out (libmilter/mfdef.h)."""


@pytest.mark.fault("PC12", "PC13")
@pytest.mark.parametrize("version", OFFERS)
def test_miltertest(
    peer_folder: Path, start_check_user: StartCheckUser, accounts: MariaDB, version: int
) -> None:
    """In every version known and foreign go on; others, and a fault, get a reply of ours."""
    socket = peer_folder / "milter.sock"
    start_check_user(f"milter unix:{socket}")
    for fault in "01":
        values = {"socket": socket, "version": version, "offered": OFFERS[version], "fault": fault}
        options = [text for name, value in values.items() for text in ("-D", f"{name}={value}")]
        command = [program("miltertest", "miltertest"), *options, "-s", str(SCRIPT)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        accounts.kill()


class Witness:
    """A milter of ours that accepts everybody, and keeps what it is told."""

    def __init__(self) -> None:
        self.told = b""
        self.lookups: list[Lookup] = []

    def new(self) -> Callable[[bytes], bytes]:
        codec = MilterCodec()

        def respond(data: bytes) -> bytes:
            self.told += data
            codec.feed(data)
            said = b""
            while not isinstance(event := codec.next_event(), Mark):
                if isinstance(event, Output):
                    said += event.data
                else:
                    self.lookups.append(event)
                    said += codec.answer(event, known("x"))
            return said

        return respond


@pytest.mark.parametrize("name", ["postfix milter", "sendmail milter"])
def test_no_message_comes_over(peer_folder: Path, name: str) -> None:
    """The milter is told clients and recipients, and never a header or a body."""
    site = SITES[name](peer_folder)
    witness = Witness()
    stranger = Stranger(site.where, witness.new, once=False)
    with stranger, running(site.server), talking(site.server) as session:
        assert session.rcpt(KNOWN)[0] == 250
        assert session.command("DATA")[0] == 354
        message = "Subject: to be left out\r\n\r\nto be left out\r\n."
        assert session.command(message)[0] == 250
    assert b"to be left out" not in witness.told
    assert [(each.text, each.client) for each in witness.lookups] == [(f"<{KNOWN}>", OUTSIDER)]
