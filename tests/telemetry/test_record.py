"""How a line of the log looks, whatever is in it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user import verdict
from check_user.telemetry.record import (
    Decided,
    Level,
    Said,
    _clock,
    as_json,
    as_text,
    printable,
)

NASTY = "a\r\nDENY \x1b[31m\x7f\x85\u2028\u202eb\\\ud800\t"


def decided(
    address: str = "anna@example.org", cause: str = "", client: str = "", fault: bool = False
) -> Decided:
    said = verdict.FAULT if fault else verdict.known(address)
    return Decided(1195829631.123, "policy", said, address, client, cause, 0.0008123)


def test_a_line_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision's line has time, level, verdict, reason, address, door, milliseconds and cause."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    _clock.cache_clear()
    assert as_text(decided()) == (
        "14:53:51.123 info    DECLINED known     anna@example.org [policy, 0.8 ms]"
    )
    fault = decided(cause="no route", client="192.0.2.1", fault=True)
    assert as_text(fault) == (
        "14:53:51.123 warning DENYSOFT fault     anna@example.org "
        "[policy, 0.8 ms, client 192.0.2.1]: no route"
    )


def test_a_line_for_machines() -> None:
    """A decision's JSON object has the same, with the time in UTC."""
    assert json.loads(as_json(decided(cause="no route", fault=True))) == {
        "time": "2007-11-23T14:53:51.123Z",
        "level": "warning",
        "event": "decision",
        "verdict": "DENYSOFT",
        "reason": "fault",
        "address": "anna@example.org",
        "door": "policy",
        "ms": 0.812,
        "cause": "no route",
    }


@pytest.mark.fault("AB03")
def test_nothing_in_an_address_reaches_the_terminal() -> None:
    """Line ends, escapes, C1, bidi marks and lone surrogates are escaped in both forms (AB03)."""
    record = decided(address=NASTY, cause=NASTY, client=NASTY)
    said = Said(0.0, Level.INFO, NASTY)
    assert as_text(record).isprintable()
    assert as_text(said).isprintable()
    for line in (as_json(record), as_json(said)):
        assert line.isascii()
        assert line.isprintable()
    assert json.loads(as_json(record))["address"] == NASTY


@pytest.mark.fault("AB03")
@given(st.text(st.characters()))
def test_escaping_is_printable_and_loses_nothing(text: str) -> None:
    """An escaped text is printable, and Python reads the original back from it (AB03)."""
    shown = printable(text)
    assert shown.isprintable()
    escaped = "".join(c if c.isascii() else c.encode("unicode_escape").decode() for c in shown)
    assert escaped.encode().decode("unicode_escape") == text
    if "\\" not in shown:
        assert shown == text


@pytest.mark.fault("OS14")
def test_an_odd_time_zone_changes_no_machine_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time zone of the environment has no effect on the times for machines (OS14)."""
    before = as_json(decided())
    for zone in ("Asia/Kathmandu", "nonsense/zone", ""):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert as_json(decided()) == before
        assert as_text(decided()).isprintable()
    monkeypatch.delenv("TZ")
    time.tzset()
