"""The journal: log lines leave by a thread of their own, so that no verdict ever waits for a log.

``put`` appends to a queue with a bound and returns. One thread takes the records in batches, makes
lines of them and writes them to a file descriptor. When that blocks (a reader that stopped), is
full (ENOSPC) or gone (EPIPE), the queue fills up, and further records are dropped and counted; as
soon as lines leave again, one of them says how many are missing.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from check_user.telemetry.record import Level, Record, Said, as_json, as_text

QUEUED = 10_000
"""Records; a second of the fastest doors, and at most about 10 MB with the longest addresses."""

BATCH = 256
"""Records a write; formatting more at once would keep the interpreter from the event loop."""

GATHER = 0.1
"""Seconds for which records are gathered before they are written together."""

RETRY = 0.5
"""Seconds until a descriptor that failed is tried again."""


class Journal:
    """Writes records to ``descriptor``, from ``level`` upwards, as lines made by ``write_as``."""

    def __init__(
        self,
        descriptor: int,
        *,
        level: Level = Level.INFO,
        write_as: Callable[[Record], str] = as_text,
    ) -> None:
        """Start the writing thread."""
        self.level = level
        self.write_as = write_as
        self._descriptor = descriptor
        self._queue: deque[Record] = deque()
        self._refused = 0  # counted by who puts,
        self._lost = 0  # by the writing thread,
        self._told = 0  # and what a line has said of both
        self._torn = False
        self._ready = threading.Event()
        self._is_ready = False
        """What ``_ready`` says, where it costs nothing; cleared before the queue is looked at."""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many records have been dropped since the start."""
        return self._refused + self._lost

    def put(self, record: Record) -> None:
        """Take a record. Never waits and never fails; from one thread only (the event loop's)."""
        if record.level >= self.level:
            self.take(record)

    def take(self, record: Record) -> None:
        """As :meth:`put`, of whatever level."""
        if len(self._queue) >= QUEUED:
            self._refused += 1
            return
        self._queue.append(record)
        if not self._is_ready:
            self._is_ready = True
            self._ready.set()

    def say(self, level: Level, message: str) -> None:
        """Put a sentence about the process."""
        self.put(Said(time.time(), level, message))

    def close(self, patience: float = 1.0) -> None:
        """Write what is queued, for at most ``patience`` seconds; then give up."""
        self._closed.set()
        self._ready.set()
        self._thread.join(patience)

    def _run(self) -> None:
        while not self._closed.is_set():
            self._ready.wait()
            self._closed.wait(GATHER)
            self._ready.clear()
            self._is_ready = False
            self._drain()
        self._drain()  # what came between the last look and the end

    def _drain(self) -> None:
        """Write what is queued and what is owed; after ``close`` try only once.

        What comes in the meantime is gathered for the next time. Else, while the event loop goes on
        logging, this thread would write line by line and dispute the interpreter with it.
        """
        while self._queue or self.dropped > self._told:
            is_last = len(self._queue) <= BATCH
            if self._write_batch():
                if is_last:
                    return
            elif self._closed.wait(RETRY):
                return

    def _write_batch(self) -> bool:
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        dropped = self.dropped
        write_as = self.write_as
        lines = [write_as(record) for record in batch]
        if dropped > self._told:
            message = f"{dropped - self._told} log lines were dropped: the log could not be written"
            lines.append(write_as(Said(time.time(), Level.WARNING, message)))
        lines.append("")  # for the last line's end
        data = "\n".join(lines).encode("utf-8", "backslashreplace")
        if not self._write(b"\n" + data if self._torn else data):
            self._lost += len(batch)
            return False
        self._told = dropped
        return True

    def _write(self, data: bytes) -> bool:
        """Write all of ``data``, however long it takes; tell whether it could be done."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody who shares the descriptor made it so
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll(RETRY * 1000)
            except OSError:
                done = len(data) - len(rest)
                self._torn = data[:done][-1:] not in (b"", b"\n") or (self._torn and not done)
                return False
        self._torn = False
        return True


class Forwarded(logging.Handler):
    """Takes what libraries log (asyncio, the database's driver) into the journal.

    Otherwise ``logging`` would write it to stderr from the event loop, which may block. Tracebacks
    are left out: they have many lines, and may show values.
    """

    def __init__(self, journal: Journal, loop_thread: int) -> None:
        """Forward records that arise in the thread ``loop_thread``; drop the others."""
        super().__init__(logging.WARNING)
        self._journal = journal
        self._loop_thread = loop_thread

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record's message and its exception's type."""
        if record.thread != self._loop_thread:
            return
        error = record.exc_info[0] if record.exc_info else None
        cause = f" ({error.__name__})" if error else ""
        level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARNING
        self._journal.say(level, f"{record.name}: {record.getMessage()}{cause}")


def writer(style: str, descriptor: int) -> Callable[[Record], str]:
    """Choose how lines look: ``text``, ``json``, or ``auto``, which is text on a terminal."""
    if style == "auto":
        style = "text" if os.isatty(descriptor) else "json"
    return as_text if style == "text" else as_json
