"""The sessions of tests/dialogs, played against each codec."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.protocols.asking import CODECS, Door, packet
from tests.protocols.smtp_door import SmtpDoor, codec

DIALOGS = Path(__file__).parents[1] / "dialogs"
FILES = sorted(path.relative_to(DIALOGS).as_posix() for path in DIALOGS.glob("*/*.txt"))
LINE_END = {"socketmap": b"", "milter": b"", "smtp": b"\r\n"}
"""Where a line's end is no part of the protocol, or isn't LF."""


def octets(text: str) -> bytes:
    return text.encode().decode("unicode_escape").encode("latin-1")


def steps(protocol: str, text: str) -> list[tuple[str, bytes]]:
    """A dialog's lines, but for the remarks; what the client sends at one go is one step."""
    found: list[tuple[str, bytes]] = []
    for line in text.splitlines():
        sign, rest = line[:1], line[1:].removeprefix(" ")
        if sign == "#":
            continue
        if line in (">.", "<."):
            found.append((line, b""))
            continue
        if sign == "?":
            found.append((sign, rest.encode()))
            continue
        unended = rest.endswith("\\") or sign == "!"
        data = octets(rest.removesuffix("\\"))
        if not unended:
            data = packet(data) if protocol == "milter" else data + LINE_END.get(protocol, b"\n")
        if found and found[-1][0] == sign:
            data = found.pop()[1] + data
        found.append((sign, data))
    return found


def door_of(protocol: str) -> Door | SmtpDoor:
    return SmtpDoor(codec()) if protocol == "smtp" else Door(CODECS[protocol]())


@pytest.mark.fault("PC01", "PC04", "PC07", "PC09", "PC10", "PC14")
@pytest.mark.parametrize("size", [1, 1_000_000], ids=["octets", "whole"])
@pytest.mark.parametrize("file", FILES)
def test_dialog(file: str, size: int) -> None:
    """A door says what the dialog says, however the client's octets arrive."""
    protocol = file.partition("/")[0]
    door = door_of(protocol)
    for sign, data in steps(protocol, (DIALOGS / file).read_text()):
        match sign:
            case ">":
                for at in range(0, len(data), size):
                    door.feed(data[at : at + size])
            case ">.":
                door.feed(b"")
            case "<":
                assert door.sent == data
                door.sent = b""
            case "!":
                assert data.decode() in door.error
                door.error = ""
            case "?":
                assert isinstance(door, SmtpDoor)
                assert door.said.pop(0) == data.decode()
            case "<.":
                assert door.closed
    assert (door.sent, door.error) == (b"", "")


def test_every_door_has_dialogs() -> None:
    """Each codec is played."""
    assert {file.partition("/")[0] for file in FILES} == {*CODECS, "smtp"}
