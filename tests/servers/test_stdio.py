"""``check-user opensmtpd`` as a process, between a test that is smtpd and a door that may fail.

The promise: each question gets one answer in 4 seconds, no other line is ever written, and the
process ends with smtpd and not before.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from check_user.servers.client import AHEAD
from tests.peers.process import wait_until
from tests.peers.scripted_door import GARBAGE, ScriptedDoor
from tests.protocols import smtpd_lines
from tests.servers.door_process import DoorProcess, door_process
from tests.servers.filter_process import COMMAND, Filter

KNOWN, UNKNOWN, FOREIGN = "anna@example.org", "nobody@example.org", "x@example.net"
REFUSED = f"reject|550 5.1.1 Address '{UNKNOWN}' doesn't exist on this server"
LATER = "reject|451 4.4.3 Internal error - try later"
IN_TIME = 4.0
AT_ONCE = 0.5
MEGABYTE = 1 << 20


@pytest.fixture
def door(tmp_path: Path) -> Iterator[DoorProcess]:
    """A line door that knows the accounts of tests/dialogs/README.md."""
    with door_process("asyncio", f"unix:{tmp_path}/line.sock") as process:
        yield process


def timed(ask: Callable[[], str]) -> tuple[str, float]:
    begin = time.monotonic()
    return ask(), time.monotonic() - begin


@pytest.mark.parametrize("pipes", [False, True], ids=["socket", "pipes"])
def test_each_recipient_gets_its_verdict(door: DoorProcess, *, pipes: bool) -> None:
    """Known, foreign: proceed; unknown: 550; malformed: 553; what can't be told: 451."""
    with Filter(door.address, pipes=pipes) as smtpd:
        assert smtpd.verdict(KNOWN) == "proceed"
        assert smtpd.verdict(UNKNOWN) == REFUSED
        assert smtpd.verdict(FOREIGN) == "proceed"
        assert smtpd.verdict("a..b@example.org") == "reject|553 5.1.3 Malformed address"
        assert smtpd.verdict("fault@example.org") == LATER
        assert smtpd.verdict('"john doe"@example.org') == "proceed"
        assert smtpd.silent()
        assert smtpd.log() == []


def test_over_tcp() -> None:
    """The door may be at a port of this machine."""
    with (
        door_process("asyncio", "inet:127.0.0.1:0") as door,
        Filter(f"inet:127.0.0.1:{door.port}") as smtpd,
    ):
        assert smtpd.verdict(KNOWN) == "proceed"
        assert smtpd.verdict(UNKNOWN) == REFUSED


@pytest.mark.parametrize("address", ["inet:localhost:10026", "unix:line.sock", "line", "inet:*:1"])
def test_an_address_that_cant_be(address: str) -> None:
    """A door's address that is wrong, or that the DNS would have to know: exit 78 and one line."""
    done = subprocess.run([*COMMAND, address], capture_output=True, timeout=20, check=False)
    assert done.returncode == 78
    assert done.stdout == b""
    assert done.stderr.startswith(b"check-user: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.fault("PC08", "PC11")
@pytest.mark.parametrize("text", ["anna@example.org\r", "a" * 2000, "a\r\0b@example.org"])
def test_what_a_line_cant_carry(door: DoorProcess, text: str) -> None:
    """An address that would be another one on its way to the door is malformed."""
    with Filter(door.address) as smtpd:
        assert smtpd.verdict(text) == "reject|553 5.1.3 Malformed address"
        assert smtpd.verdict(KNOWN) == "proceed"


@pytest.mark.fault("PC02")
def test_many_at_once(door: DoorProcess) -> None:
    """Three thousand questions in one piece: each has its own answer."""
    with Filter(door.address) as smtpd:
        addresses = [UNKNOWN, KNOWN] * 1500
        threading.Thread(target=smtpd.ask, args=addresses).start()
        found = dict(line.decode().split("|", 3)[2:] for line in smtpd.lines(3000))
    assert len(found) == 3000
    assert all(found[f"{token:x}"] == REFUSED for token in range(1, 3000, 2))
    assert all(found[f"{token:x}"] == "proceed" for token in range(2, 3001, 2))


@pytest.mark.fault("PC21")
def test_nobody_there(tmp_path: Path) -> None:
    """No door: smtpd starts all the same, recipients get 451 soon, and the log has one line."""
    with Filter(f"unix:{tmp_path}/nobody.sock") as smtpd:
        for _ in range(2):
            decision, seconds = timed(lambda: smtpd.verdict(KNOWN))
            assert decision == LATER
            assert seconds < 1.5
        [line] = smtpd.log()
        assert "check_user doesn't answer (No such file or directory)" in line


@pytest.mark.fault("PC21")
def test_a_door_that_comes_back(tmp_path: Path) -> None:
    """Killed: 451; started again: the right answers; the log has a line for each change."""
    address = f"unix:{tmp_path}/line.sock"
    with contextlib.ExitStack() as stack:
        smtpd = stack.enter_context(Filter(address))
        for _ in range(2):
            with door_process("asyncio", address):
                assert smtpd.verdict(KNOWN) == "proceed"
            assert smtpd.verdict(KNOWN) == LATER
            assert smtpd.verdict(UNKNOWN) == LATER
        with door_process("asyncio", address):
            assert smtpd.verdict(UNKNOWN) == REFUSED
        away, back, *again = smtpd.log()
        assert "doesn't answer" in away
        assert back == "check_user answers again"
        assert again == [away, back]


@pytest.mark.fault("PC21")
def test_a_restart_is_a_short_wait(tmp_path: Path) -> None:
    """A door that is away for a moment: the question waits for it, and gets its own answer."""
    address = f"unix:{tmp_path}/line.sock"
    with Filter(address) as smtpd:
        with door_process("asyncio", address):
            assert smtpd.verdict(KNOWN) == "proceed"
        smtpd.ask(UNKNOWN)
        with door_process("asyncio", address):
            assert smtpd.line().decode().endswith(REFUSED)
        assert smtpd.log() == []


@pytest.mark.fault("PC21")
def test_a_door_that_hangs(door: DoorProcess) -> None:
    """Hung: 451 within four seconds for each; it goes on: the right answers, and nobody else's."""
    with Filter(door.address) as smtpd:
        assert smtpd.verdict(KNOWN) == "proceed"
        door.process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        smtpd.ask(KNOWN, UNKNOWN)
        assert {smtpd.line().decode()[-len(LATER) :] for _ in range(2)} == {LATER}
        assert time.monotonic() - begin < IN_TIME
        decision, seconds = timed(lambda: smtpd.verdict(UNKNOWN))
        assert decision == LATER
        assert seconds < IN_TIME
        door.process.send_signal(signal.SIGCONT)
        assert smtpd.verdict(UNKNOWN) == REFUSED
        assert smtpd.verdict(KNOWN) == "proceed"
        assert len(smtpd.log()) == 2


@pytest.mark.fault("PC21", "DB04")
def test_a_late_answer_is_nobodys(tmp_path: Path) -> None:
    """An answer after the limit isn't taken for that to the next question; that one is asked anew.

    The second question is younger, so its own four seconds aren't over.
    """
    late = threading.Event()
    answers = b"DECLINED known\nDECLINED known\n"
    with (
        ScriptedDoor(tmp_path / "door", [late, answers], [b"DENY No\n"]) as door,
        Filter(door.address) as smtpd,
    ):
        smtpd.ask("first@example.org")
        with pytest.raises(TimeoutError):
            smtpd.line(2.0)
        smtpd.ask("second@example.org", first=2)
        assert smtpd.line() == b"filter-result|a1|1|" + LATER.encode()
        late.set()
        assert smtpd.line() == b"filter-result|a1|2|reject|550 5.1.1 No"
        assert door.questions == [b"first@example.org\n", b"second@example.org\n"]


@pytest.mark.fault("PC06", "PC07", "PC21")
@pytest.mark.parametrize("answer", GARBAGE)
def test_an_answer_that_isnt_understood(tmp_path: Path, answer: bytes) -> None:
    """Whatever else the door says is 451 at once; the next question goes to a new connection."""
    with (
        ScriptedDoor(tmp_path / "door", [answer], [b"DENY No\n"]) as door,
        Filter(door.address) as smtpd,
    ):
        decision, seconds = timed(lambda: smtpd.verdict(KNOWN))
        assert decision == LATER
        assert seconds < AT_ONCE
        assert smtpd.verdict(KNOWN) == "reject|550 5.1.1 No"
        assert door.connections == 2


@pytest.mark.fault("PC21")
@pytest.mark.parametrize("more", [b"DENY No\n", b"DENY"])
def test_an_answer_to_nothing(tmp_path: Path, more: bytes) -> None:
    """What the door says beyond its answer isn't taken for that to the next question."""
    with (
        ScriptedDoor(
            tmp_path / "door", [b"DECLINED known\n" + more], [b"DECLINED known\n"]
        ) as door,
        Filter(door.address) as smtpd,
    ):
        assert smtpd.verdict(KNOWN) == "proceed"
        assert smtpd.verdict(KNOWN) == "proceed"
        assert door.connections == 2


@pytest.mark.fault("PC21")
def test_a_lost_question_is_asked_again(tmp_path: Path) -> None:
    """A connection that ends without an answer, or within one: asked again on a new one."""
    scripts = ([b"DECLINED known\n", b""], [b"DENY", b""], [b"DENY No\n"])
    with ScriptedDoor(tmp_path / "door", *scripts) as door, Filter(door.address) as smtpd:
        assert smtpd.verdict("first@example.org") == "proceed"
        smtpd.ask("second@example.org", "third@example.org")
        assert smtpd.line() == b"filter-result|a1|1|reject|550 5.1.1 No"
        assert door.questions[-1] == b"second@example.org\n"


@pytest.mark.fault("PC21")
def test_a_door_that_always_closes(tmp_path: Path) -> None:
    """A door that takes a question and closes, again and again: 451 soon, without a storm."""
    with ScriptedDoor(tmp_path / "door", *[[b""]] * 100) as door, Filter(door.address) as smtpd:
        decision, seconds = timed(lambda: smtpd.verdict(KNOWN))
        assert decision == LATER
        assert seconds < 1.5
        assert door.connections <= 12


def test_more_than_may_wait(door: DoorProcess) -> None:
    """More questions than may wait, and nobody answers: 451 for the others at once; each once."""
    door.process.send_signal(signal.SIGSTOP)
    with Filter(door.address) as smtpd:
        threading.Thread(target=smtpd.ask, args=[KNOWN] * 6000).start()
        answers = smtpd.lines(6000 - AHEAD, 2.0)
        answers += smtpd.lines(AHEAD)
        assert {line.partition(b"reject")[1:] for line in answers} == {
            (b"reject", LATER.removeprefix("reject").encode())
        }
        assert len({line.split(b"|")[2] for line in answers}) == 6000
        door.process.send_signal(signal.SIGCONT)
        assert smtpd.verdict(KNOWN) == "proceed"


@pytest.mark.fault("PC05")
def test_smtpd_that_doesnt_read(door: DoorProcess) -> None:
    """Answers that nobody reads don't fill the memory; read later, all are there, and whole."""
    count = 30_000
    with Filter(door.address) as smtpd:
        writer = threading.Thread(target=smtpd.ask, args=[UNKNOWN] * count)
        writer.start()
        writer.join(3)
        assert writer.is_alive(), "it reads on and on"
        assert resident(smtpd.process.pid) < 24 * MEGABYTE
        answers = smtpd.lines(count, 60)
        writer.join()
    texts = {line.partition(b"|reject|")[2].decode() for line in answers}
    assert REFUSED.removeprefix("reject|") in texts
    assert texts <= {REFUSED.removeprefix("reject|"), LATER.removeprefix("reject|")}
    assert len({line.split(b"|")[2] for line in answers}) == count


@pytest.mark.parametrize("pipes", [False, True], ids=["socket", "pipes"])
@pytest.mark.parametrize("asked", [0, 100])
def test_it_ends_with_smtpd(door: DoorProcess, asked: int, *, pipes: bool) -> None:
    """smtpd goes, with questions open or without: exit 0, at once, and no word."""
    door.process.send_signal(signal.SIGSTOP)
    with Filter(door.address, pipes=pipes) as smtpd:
        smtpd.ask(*[KNOWN] * asked)
        assert smtpd.log() == []


def test_it_ends_when_nobody_reads(door: DoorProcess) -> None:
    """smtpd has gone in the middle of many answers: exit 0."""
    with Filter(door.address, pipes=True) as smtpd:

        def ask() -> None:
            with contextlib.suppress(OSError):
                smtpd.ask(*[UNKNOWN] * 20_000)

        writer = threading.Thread(target=ask)
        writer.start()
        writer.join(2)
        assert writer.is_alive(), "it reads on and on"
        smtpd.leave()
        assert smtpd.process.wait(5) == 0
        writer.join()


@pytest.mark.fault("PC21")
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE], ids=str
)
def test_signals_dont_end_it(door: DoorProcess, number: signal.Signals) -> None:
    """A filter that ends takes smtpd along, so signals meant for others don't end it."""
    with Filter(door.address) as smtpd:
        smtpd.signal(number)
        assert smtpd.verdict(KNOWN) == "proceed"


def test_a_log_that_nobody_reads(tmp_path: Path) -> None:
    """Standard error is full, or closed: the answers go on."""
    unread, log = os.pipe()
    os.set_blocking(log, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(log, b"x" * 4096)
    os.set_blocking(log, True)
    with Filter(f"unix:{tmp_path}/nobody.sock", stderr=log) as smtpd:
        os.close(log)
        assert smtpd.verdict(KNOWN) == LATER
        os.close(unread)
        with door_process("asyncio", f"unix:{tmp_path}/nobody.sock"):
            assert smtpd.verdict(KNOWN) == "proceed"
        assert smtpd.verdict(KNOWN) == LATER


def test_its_size(door: DoorProcess) -> None:
    """It takes less than 20 MB, since it has no event loop and no database's driver."""
    with Filter(door.address) as smtpd:
        assert smtpd.verdict(KNOWN) == "proceed"
        assert resident(smtpd.process.pid) < 20 * MEGABYTE
    code = "import sys, check_user.cli.opensmtpd; print({'asyncio', 'sqlalchemy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"set()\n"


def resident(pid: int) -> int:
    """Its memory in octets (proc(5): VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.fault("PC16")
@pytest.mark.parametrize(
    "count",
    [20_000, pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
)
def test_any_lines(door: DoorProcess, count: int) -> None:
    """Any lines to the process: each that asks is answered once by its own names, no line else.

    No more is asked at once than may wait; the door is the real one.
    """
    with Filter(door.address) as smtpd:
        for seed in range(0, count, 2000):
            asked = list(smtpd_lines.lines(seed, 2000))
            names = smtpd_lines.expected(asked)
            writer = threading.Thread(target=smtpd.send, args=[b"".join(asked)])
            writer.start()
            answers: Counter[bytes] = smtpd_lines.given(smtpd.lines(names.total()))
            writer.join()
            assert answers == names
        assert wait_until(smtpd.silent, 1.0)
        assert smtpd.verdict(KNOWN) == "proceed"
        assert resident(smtpd.process.pid) < 24 * MEGABYTE
        assert smtpd.log() == []
