"""What the time of an answer tells."""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from pathlib import Path

import pytest

from tests.smtp_limits.serving import KNOWN, UNKNOWN, SmtpClient, SmtpServing

TIMES = 500


def seconds(client: SmtpClient, path: bytes, code: int) -> float:
    """How long a recipient's reply takes."""
    began = time.perf_counter()
    assert client.rcpt(path) == code
    return time.perf_counter() - began


@pytest.mark.fault("AB02")
def test_a_fault_takes_as_long_for_everybody(tmp_path: Path) -> None:
    """Where known and unknown recipients get the same reply, their median times are the same.

    Within a tenth, or 1 ms, which is what a network lets an attacker see.
    """
    with SmtpServing(tmp_path) as serving:
        with sqlite3.connect(tmp_path / "accounts.sqlite") as database:
            database.execute("ALTER TABLE emailtable RENAME TO away")
        database.close()
        paths = [KNOWN, UNKNOWN] * TIMES
        random.Random(0).shuffle(paths)
        took: dict[bytes, list[float]] = {KNOWN: [], UNKNOWN: []}
        with serving.client().begin() as client:
            for path in paths:
                took[path].append(seconds(client, path, 451))
        known, unknown = (statistics.median(took[path]) for path in (KNOWN, UNKNOWN))
        assert abs(known - unknown) <= max(0.1 * known, 0.001), (known, unknown)


@pytest.mark.fault("AB05")
def test_the_worst_recipients(tmp_path: Path) -> None:
    """A recipient that is as hard to parse as a line may be costs less than 5 ms on average."""
    paths = (
        b"<" + b"(" * 480 + b"@example.org>",
        b'<"' + b"\\a" * 900 + b'"@example.org>',
        b"<" + b"a." * 990 + b"@example.org>",
        b"<a@" + b"xn--" * 480 + b">",
    )
    limits = {"smtp_max_unknown": "999999999", "smtp_max_errors": "999999999"}
    with SmtpServing(tmp_path, **limits) as serving, serving.client().begin() as client:
        began = time.perf_counter()
        for _ in range(50):
            for path in paths:
                assert 500 <= client.rcpt(path) < 560
        assert (time.perf_counter() - began) / 200 < 0.005
