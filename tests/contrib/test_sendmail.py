"""Sendmail's own side: the map in ``-bt`` mode, routed addresses, and the traps.

Each trap is shown twice: what Sendmail makes of it by default, and what the recipe makes of it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from check_user.protocols import Lookup, Mark, Output
from check_user.protocols.milter import MilterCodec
from tests.contrib.recipients import FOREIGN, KNOWN, UNKNOWN, first_refusal, talking
from tests.contrib.sites import CONTRIB, SITES, below, running
from tests.peers.check_user import StartCheckUser
from tests.peers.mariadb import MariaDB
from tests.peers.sendmail import Sendmail
from tests.peers.smtp import OUTSIDER, RELAY_CLIENT
from tests.peers.stranger import Stranger
from tests.protocols.asking import packet

MILTER = (CONTRIB / "sendmail" / "milter.mc").read_text()
SOCKETMAP = (CONTRIB / "sendmail" / "socketmap.mc").read_text()


def test_the_map_in_test_mode(
    peer_folder: Path, start_check_user: StartCheckUser, accounts: MariaDB
) -> None:
    """Sendmail's own client reads known, unknown, foreign and a fault as what they are."""
    site = SITES["sendmail socketmap"](peer_folder)
    start_check_user(site.door)
    assert isinstance(site.server, Sendmail)
    command = site.server.with_arguments("-bt")

    def look_up(key: str) -> str:
        done = subprocess.run(
            command,
            input=f"/map access {key}\n",
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.partition("map_lookup: ")[2].partition("\n")[0]

    assert look_up(KNOWN) == f"access ({KNOWN}) returns DUNNO (0)"
    assert look_up(f"<{FOREIGN}>") == f"access (<{FOREIGN}>) returns DUNNO (0)"
    assert look_up(UNKNOWN) == (
        f"access ({UNKNOWN}) returns 550 5.1.1 Address '{UNKNOWN}' doesn't exist on this server (0)"
    )
    accounts.kill()
    assert look_up(KNOWN) == f"access ({KNOWN}) no match (75)"


@pytest.mark.parametrize("name", ["sendmail milter", "sendmail socketmap"])
def test_routes(peer_folder: Path, start_check_user: StartCheckUser, name: str) -> None:
    """Who isn't there doesn't come in by user%domain@HERE; a percent sign of one's own is none."""
    site = SITES[name](peer_folder)
    start_check_user(site.door)
    routes = ("unknown%ours.example@mx.example", "ours.example!unknown@mx.example")
    with running(site.server):
        for source in (OUTSIDER, RELAY_CLIENT):
            with talking(site.server, source) as session:
                for address in routes:
                    text = f"5.1.3 <{address}>... Routes are not taken"
                    assert session.rcpt(address) == (553, text)
                reply = session.rcpt("50%off@ours.example")
                assert reply[0] == 550
                assert session.rcpt(KNOWN)[0] == 250
    assert "'50%off@ours.example' doesn't exist" in reply[1]


def trap(folder: Path, name: str, macros: str, where: Path, answer: Stranger) -> int:
    """What the known recipient gets from Sendmail with ``macros`` and a stranger at the socket."""
    server = Sendmail(below(folder, name), macros, where.parent)
    with answer, running(server):
        return first_refusal(server, UNKNOWN)[0]


def mute(where: Path) -> Stranger:
    return Stranger(where, lambda: lambda data: b"", once=True)


@pytest.mark.fault("PC21")
def test_a_milter_without_its_flag(peer_folder: Path) -> None:
    """Without F=T whoever isn't there is accepted while check_user is away; with it, 4xx."""
    where = below(peer_folder, "run") / "milter.sock"
    assert MILTER.count(" F=T,") == 1
    assert trap(peer_folder, "careless", MILTER.replace(" F=T,", ""), where, mute(where)) == 250
    assert trap(peer_folder, "recipe", MILTER, where, mute(where)) == 451


@pytest.mark.fault("PC21")
def test_a_map_without_its_mark(peer_folder: Path) -> None:
    """Without -T whoever isn't there is accepted while check_user is away; with the rules, 4xx."""
    where = below(peer_folder, "run") / "socketmap.sock"
    mark = "-T<TMPF> "
    last = next(line for line in SOCKETMAP.splitlines() if "451" in line)
    careless = SOCKETMAP.replace(mark, "").replace(last, "R<?> $*\t\t$@ OK")
    assert trap(peer_folder, "careless", careless, where, mute(where)) == 250
    assert trap(peer_folder, "recipe", SOCKETMAP, where, mute(where)) == 451


class Speaker:
    """A milter that is ours but for what it says about a recipient."""

    def __init__(self, about_recipients: bytes) -> None:
        self._about_recipients = about_recipients
        self._codec = MilterCodec()

    def __call__(self, data: bytes) -> bytes:
        self._codec.feed(data)
        said = b""
        while not isinstance(event := self._codec.next_event(), Mark):
            if isinstance(event, Output):
                said += event.data
            elif isinstance(event, Lookup):
                said += self._about_recipients
        return said


@pytest.mark.fault("PC12")
@pytest.mark.parametrize(
    ("letter", "reply"), [(b"X", 250), (b"p", 250), (b"a", 250), (b"c", 250), (b"t", 451)]
)
def test_a_milter_with_another_letter(peer_folder: Path, letter: bytes, reply: int) -> None:
    """Sendmail takes an unknown letter for yes, F=T or not: so the codec has three, O, c and y.

    (That it has no other is a rule of tests/protocols/test_milter.py.)
    """
    where = below(peer_folder, "run") / "milter.sock"
    stranger = Stranger(where, lambda: Speaker(packet(letter)), once=False)
    assert trap(peer_folder, "sendmail", MILTER, where, stranger) == reply
