"""Haraka with the files of ``contrib/haraka``, over SMTP.

The promise: never a 5xx for a known user, never an accept of an unknown one, a 4xx where it can't
be told, and in time. Nothing that goes wrong in the plugin reaches Haraka, which would refuse for
good or end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest

from tests.contrib.recipients import FOREIGN, KNOWN, UNKNOWN, one_rcpt, talking
from tests.peers.check_user import CheckUser
from tests.peers.haraka import Haraka
from tests.peers.process import NotReadyError
from tests.peers.scripted_door import GARBAGE, ScriptedDoor
from tests.peers.smtp import Session

CONTRIB = Path(__file__).parents[2] / "contrib" / "haraka"

REFUSED = (550, f"5.1.1 Address '{UNKNOWN}' doesn't exist on this server")
LATER = (451, "4.4.3 Internal error - try later")
MALFORMED = (553, "5.1.3 Malformed address")


class MakeHaraka(Protocol):
    """Makes a Haraka that isn't started; ``before`` is the code of a plugin that is called first.

    ``ini`` in place of ``check_user.ini``; None: no such file.
    """

    def __call__(self, *, before: str = "", ini: str | None = ...) -> Haraka: ...


INI = (CONTRIB / "check_user.ini").read_text()


@pytest.fixture
def make(peer_folder: Path) -> Iterator[MakeHaraka]:
    """``peer_folder`` is its /run/check_user, where line.sock may appear."""
    made: list[Haraka] = []

    def new(*, before: str = "", ini: str | None = INI) -> Haraka:
        folder = peer_folder / "haraka"
        folder.mkdir()
        plugins: Sequence[Path] = []
        if before:
            plugins = [peer_folder / "before.js"]
            plugins[0].write_text(before)
        server = Haraka(folder, CONTRIB, peer_folder, before=plugins)
        file = folder / "config" / "check_user.ini"
        file.unlink()
        if ini is not None:
            file.write_text(ini)
        made.append(server)
        return server

    yield new
    for server in made:
        server.stop()


@pytest.fixture
def haraka(make: MakeHaraka) -> Haraka:
    server = make()
    server.start()
    return server


def timed(session: Session, address: str) -> tuple[tuple[int, str], float]:
    begin = time.monotonic()
    return session.rcpt(address), time.monotonic() - begin


RECIPIENTS: dict[str | bytes, tuple[int, str]] = {
    KNOWN: (250, ""),
    UNKNOWN: REFUSED,
    FOREIGN: (550, f"I cannot deliver mail for <{FOREIGN}>"),
    "KNOWN@Ours.Example": (250, ""),
    "UNKNOWN@OURS.EXAMPLE": (550, "5.1.1 Address"),
    "postmaster@ours.example": (250, ""),
    '"at,home"@ours.example': (250, ""),
    '"k\\nown"@ours.example': (250, ""),
    '"not,home"@ours.example': (550, "5.1.1 Address"),
    '"known@ours.example"@ours.example': (550, "5.1.1 Address"),
    "größe@ours.example": (250, ""),
    "grösse@ours.example": (550, "5.1.1 Address"),
    "@one.example:known@ours.example": (250, ""),
    "@one.example:unknown@ours.example": (550, "5.1.1 Address"),
    "known%ours.example@elsewhere.example": (550, "I cannot deliver"),
    b"known\xff@ours.example": (550, "5.1.1 Address"),  # Haraka puts U+FFFD there
    "": (553, "5.1.3 Malformed address"),
    # These Haraka refuses by itself.
    "postmaster": (550, "I cannot deliver"),
    "known": (501, "Invalid RCPT TO address"),
    "known..twice@ours.example": (501, "Invalid RCPT TO address"),
    "a" * 65 + "@ours.example": (501, "Invalid RCPT TO address"),
    "unknown@ours.example> <known@ours.example": (501, "Invalid RCPT TO address"),
}
"""Recipients as they are sent, the reply's code and how its text begins."""


@pytest.mark.fault("PC08", "PC11")
def test_each_recipient_gets_its_verdict(haraka: Haraka, check_user: CheckUser) -> None:
    """Known: the next plugin accepts; unknown, malformed: refused; foreign: Haraka refuses."""
    with talking(haraka) as session:
        for path, (code, text) in RECIPIENTS.items():
            reply = session.rcpt(path)
            assert (path, reply[0]) == (path, code)
            assert reply[1].startswith(text)
    log = haraka.log.read_text()
    assert f"Local address '{KNOWN}'" in log
    assert f"Foreign address '{FOREIGN}'" in log


def test_sessions_at_once(haraka: Haraka, check_user: CheckUser) -> None:
    """Thirty sessions at once, thirty recipients each: each reply is that to its own question."""

    def talk(number: int) -> None:
        with talking(haraka) as session:
            for turn in range(15):
                assert session.rcpt(KNOWN)[0] == 250
                name = f"u{number}-{turn}@ours.example"
                assert session.rcpt(name)[1].startswith(f"5.1.1 Address '{name}'")

    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(talk, range(30))) == [None] * 30


@pytest.mark.fault("PC21")
def test_without_check_user(haraka: Haraka, peer_folder: Path) -> None:
    """Nobody at the socket: 4xx at once, and the log says why."""
    with talking(haraka) as session:
        reply, seconds = timed(session, KNOWN)
    assert reply == LATER
    assert seconds < 1
    assert "no verdict: connect ENOENT /run/check_user/line.sock" in haraka.log.read_text()


@pytest.mark.fault("PC06", "PC07", "PC21")
def test_a_door_that_talks_garbage(haraka: Haraka, peer_folder: Path) -> None:
    """Whatever the door says that is no answer, or if it closes: 451 at once, and Haraka lives."""
    answers = [*GARBAGE, b"", b"DECLINED known\nDECLINED known\n"]
    with (
        ScriptedDoor(peer_folder / "line.sock", *[[answer] for answer in answers]) as door,
        talking(haraka) as session,
    ):
        for answer in answers:
            reply, seconds = timed(session, KNOWN)
            assert (answer, reply) == (answer, LATER)
            assert seconds < 1
        assert door.questions == [f"<{KNOWN}>\n".encode()] * len(answers)
    assert haraka.running


@pytest.mark.fault("PC21", "DB04")
def test_a_late_answer_is_nobodys(make: MakeHaraka, peer_folder: Path) -> None:
    """An answer that comes after the limit doesn't become that of the next question."""
    late = threading.Event()
    with ScriptedDoor(
        peer_folder / "line.sock", [late, b"DECLINED known\n"], [b"DENY No\n"]
    ) as door:
        haraka = make(ini="timeout=0.5")
        haraka.start()
        with talking(haraka) as session:
            assert session.rcpt(KNOWN) == LATER
            late.set()
            assert session.rcpt(KNOWN) == (550, "5.1.1 No")
        assert door.connections == 2


DAMAGES = {
    "no recipient": "params.length = 0",
    "null": "params[0] = null",
    "no address": "params[0] = {}",
    "it throws": "params[0] = { format() { throw new Error('out of order') } }",
    "it throws nothing": "params[0] = { format() { throw undefined } }",
    "no text": "params[0] = { format() {} }",
    "the log throws": "connection.logerror = () => { throw new Error('full') }; params[0] = null",
    "no log": "connection.logerror = undefined; params[0] = null",
    "a number": "params[0] = 7",
}


@pytest.mark.fault("PC21")
@pytest.mark.parametrize("damage", DAMAGES)
def test_nothing_thrown_reaches_haraka(
    make: MakeHaraka, check_user: CheckUser, damage: str
) -> None:
    """What would throw in the hook is 451; without the plugin's care it would be a 550."""
    haraka = make(
        before=f"exports.hook_rcpt = (next, connection, params) => {{ {DAMAGES[damage]}; next() }}"
    )
    haraka.start()
    assert one_rcpt(haraka) == LATER
    assert haraka.running


@pytest.mark.fault("PC21")
def test_an_answer_that_throws(make: MakeHaraka, check_user: CheckUser) -> None:
    """Haraka's own code throws when it is handed the verdict: that session's loss, not Haraka's."""
    throw = "connection.logdebug = () => { throw new Error('out of order') }"
    haraka = make(before=f"exports.hook_rcpt = (next, connection) => {{ {throw}; next() }}")
    haraka.start()
    with talking(haraka) as session:
        session.expect_silence(f"RCPT TO:<{KNOWN}>", 1)
    assert haraka.running


@pytest.mark.fault("PC08")
def test_a_question_is_one_line(make: MakeHaraka, check_user: CheckUser) -> None:
    """A line feed in an address, which only another plugin can put there: not two questions."""
    text = f"<{KNOWN}\\n{UNKNOWN}>"
    haraka = make(
        before="exports.hook_rcpt = (next, connection, params) => "
        f"{{ params[0] = {{ format: () => '{text}' }}; next() }}"
    )
    haraka.start()
    assert one_rcpt(haraka) == MALFORMED
    assert "Local address" not in haraka.log.read_text()


def test_without_a_configuration(make: MakeHaraka, check_user: CheckUser) -> None:
    """No check_user.ini: the socket is where check_user has it by default."""
    haraka = make(ini=None)
    haraka.start()
    with talking(haraka) as session:
        assert session.rcpt(KNOWN)[0] == 250
        assert session.rcpt(UNKNOWN) == REFUSED


@pytest.mark.parametrize("ini", ["socket=line.sock", "timeout=soon", "timeout=0", "timeout=-1"])
def test_no_start_with_a_wrong_configuration(make: MakeHaraka, ini: str) -> None:
    """A value that can't be: Haraka ends before it listens, and says why."""
    with pytest.raises(NotReadyError, match=r"check_user\.ini: (socket|timeout) '"):
        make(ini=ini).start()
