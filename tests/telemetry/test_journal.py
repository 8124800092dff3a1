"""The journal: a log that can't be written costs lines, and nothing else."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from check_user.telemetry import Forwarded, Journal, Level, writer
from check_user.telemetry.journal import QUEUED
from check_user.telemetry.record import Said, as_json, as_text

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test closed it


def until(condition: Callable[[], bool]) -> None:
    """Wait for the writing thread, which nothing can be awaited of but its effects."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "the journal didn't do it in 10 seconds"
        time.sleep(0.005)


def messages(data: bytes) -> list[str]:
    return [json.loads(line)["message"] for line in data.splitlines() if line]


def read_until(descriptor: int, word: str) -> list[str]:
    data = b""
    while word.encode() not in data or not data.endswith(b"\n"):
        data += os.read(descriptor, 1 << 20)
    return messages(data)


def test_records_leave_in_order(pipe: Pipe) -> None:
    """Every record becomes one line, in order, and close() waits for all of them."""
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 1 << 20)
    journal = Journal(pipe[1], write_as=as_json)
    for number in range(1000):
        journal.say(Level.INFO, str(number))
    journal.close()
    assert messages(os.read(pipe[0], 1 << 20)) == [str(number) for number in range(1000)]


def test_levels(pipe: Pipe) -> None:
    """A record below the journal's level is not written; the level can be changed."""
    journal = Journal(pipe[1], level=Level.WARNING, write_as=as_json)
    journal.say(Level.INFO, "no")
    journal.say(Level.ERROR, "yes")
    journal.level = Level.DEBUG
    journal.say(Level.DEBUG, "now")
    journal.close()
    assert messages(os.read(pipe[0], 1 << 16)) == ["yes", "now"]


@pytest.mark.fault("OS05")
def test_a_reader_that_stops_costs_lines_alone(pipe: Pipe) -> None:
    """While nobody reads, put() returns at once and drops past the bound; the count is told (OS05).

    The pipe's reader is this test, so it stops by not reading.
    """
    journal = Journal(pipe[1], write_as=as_json)
    put = 3 * QUEUED
    slowest = 0.0
    for number in range(put):
        started = time.perf_counter()
        journal.put(Said(0.0, Level.INFO, f"{number:0200}"))
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < 0.1
    assert journal.dropped > 0
    dropped = journal.dropped
    kept: list[str] = []
    told = 0
    rest = b""
    while len(kept) + told < put:
        lines, _, rest = (rest + os.read(pipe[0], 1 << 20)).rpartition(b"\n")
        for line in messages(lines):
            told += int(line.split()[0]) if "dropped" in line else 0
            kept += [] if "dropped" in line else [line]
    journal.close()
    assert told == dropped
    assert kept == sorted(kept)


@pytest.mark.fault("OS05")
def test_close_does_not_wait_for_a_reader_that_stopped(pipe: Pipe) -> None:
    """close() gives up after its patience (OS05)."""
    journal = Journal(pipe[1])
    for _ in range(QUEUED):
        journal.say(Level.INFO, "x" * 200)
    started = time.monotonic()
    journal.close(patience=0.1)
    assert time.monotonic() - started < 1


@pytest.mark.fault("OS05")
def test_a_full_disk_costs_lines_alone(tmp_path: Path) -> None:
    """Lines that a full disk doesn't take are counted, and told when there is room again (OS05).

    The disk is full by this process's limit on a file's size, which gives an error as ENOSPC does.
    """
    file = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        journal = Journal(file, write_as=as_json)
        for _ in range(20):
            journal.say(Level.INFO, "x" * 200)
        until(lambda: journal.dropped > 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.say(Level.INFO, "again")
    until(lambda: b"again" in (tmp_path / "log").read_bytes())
    journal.close()
    os.close(file)
    whole = (tmp_path / "log").read_bytes()[1000:].lstrip(b"\n")
    assert any("lines were dropped" in message for message in messages(whole))
    assert "again" in messages(whole)


@pytest.mark.fault("OS06")
def test_a_reader_that_has_gone_costs_lines_alone(pipe: Pipe) -> None:
    """With the pipe's reader gone (EPIPE), put() goes on and close() ends at once (OS06)."""
    os.close(pipe[0])
    journal = Journal(pipe[1])
    journal.say(Level.INFO, "nobody hears it")
    until(lambda: journal.dropped == 1)
    journal.say(Level.INFO, "nor this")
    journal.close()
    assert not journal._thread.is_alive()


def test_a_descriptor_that_does_not_block(pipe: Pipe) -> None:
    """A descriptor that somebody made non-blocking is waited for, and no line is lost."""
    os.set_blocking(pipe[1], False)
    journal = Journal(pipe[1], write_as=as_json)
    for number in range(2000):
        journal.say(Level.INFO, f"{number:0100}")
    lines = read_until(pipe[0], f"{1999:0100}")
    journal.close()
    assert len(lines) == 2000


def test_what_libraries_log_is_forwarded(pipe: Pipe) -> None:
    """A library's warning becomes one line with the exception's type, without its traceback."""
    journal = Journal(pipe[1], write_as=as_json)
    logger = logging.Logger("asyncio")
    logger.addHandler(Forwarded(journal, threading.get_ident()))
    error = ValueError("secret")
    logger.error("Task exception was never %s", "retrieved", exc_info=error)
    logger.info("not this")
    journal.close()
    (line,) = messages(os.read(pipe[0], 1 << 16))
    assert line == "asyncio: Task exception was never retrieved (ValueError)"


def test_text_on_a_terminal_json_elsewhere(pipe: Pipe) -> None:
    """'auto' is text on a terminal and JSON elsewhere; 'text' and 'json' are what they say."""
    terminal, other = os.openpty()
    assert writer("auto", other) is as_text
    assert writer("auto", pipe[1]) is as_json
    assert writer("text", pipe[1]) is as_text
    assert writer("json", other) is as_json
    os.close(terminal)
    os.close(other)
