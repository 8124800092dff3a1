"""qpsmtpd's files, read as qpsmtpd reads them, and refused where it would look away."""

from __future__ import annotations

from pathlib import Path

import pytest

from check_user.gateway.error import GatewayError
from check_user.gateway.files import (
    LONGEST_FILE,
    RcptHosts,
    RelayClients,
    read_lines,
    read_me,
    refuse_unsupported,
)


def texts(folder: Path, name: str) -> list[str]:
    return [line.text for line in read_lines(folder, name)]


def error_of(folder: Path, name: str) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read_lines(folder, name)
    return caught.value


def test_blanks_comments_and_empty_lines(tmp_path: Path) -> None:
    """Blanks around a line, empty lines and comments don't count; a later '#' is text."""
    (tmp_path / "plugins").write_bytes(b"# one\r\n\n  check_user \t\r\n\t#two\nrcpt_ok # three\n")
    lines = read_lines(tmp_path, "plugins")
    assert [(line.number, line.text) for line in lines] == [
        (3, "check_user"),
        (5, "rcpt_ok # three"),
    ]
    assert read_lines(tmp_path, "rcpthosts") == []


def test_include(tmp_path: Path) -> None:
    """$include stands for a file's lines, or for those of a folder's files in their order."""
    (tmp_path / "more.d").mkdir()
    for name, text in {"b": "three\n", "a": "two\n", ".hidden": "no\n"}.items():
        (tmp_path / "more.d" / name).write_text(text)
    (tmp_path / "other").write_text(f"one\n$include {tmp_path}/more.d\n")
    (tmp_path / "rcpthosts").write_text("zero\n$include other\nfour\n$include more.d/a\n")
    assert texts(tmp_path, "rcpthosts") == ["zero", "one", "two", "three", "four", "two"]
    assert read_lines(tmp_path, "rcpthosts")[2].file == tmp_path / "more.d" / "a"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"a\n$include rcpthosts\n", 2, "includes itself"),
        (b"$include nowhere\n", 1, "there is no"),
        (b"ok\n\xff\n", 2, "not UTF-8"),
        (b"x" * (LONGEST_FILE + 1), 0, "larger than"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: bytes, line: int, message: str) -> None:
    """A circle, a file that isn't there, other octets than text: an error with its place."""
    (tmp_path / "rcpthosts").write_bytes(text)
    error = error_of(tmp_path, "rcpthosts")
    assert (error.file, error.line) == (tmp_path / "rcpthosts", line)
    assert message in error.message
    assert str(error).startswith(f"{error.file}:{line}: " if line else f"{error.file}: ")


@pytest.mark.fault("GW18")
def test_me(tmp_path: Path) -> None:
    """Our name is the first line of 'me', else the host's, asked for once; never another."""
    assert read_me(tmp_path, lambda: "Host.example") == "host.example"
    with pytest.raises(GatewayError, match="write one"):
        read_me(tmp_path, lambda: "not a name")
    (tmp_path / "me").write_text("# ours\nMX.example\nignored.example\n")
    assert read_me(tmp_path, lambda: "host.example") == "mx.example"
    (tmp_path / "me").write_text("mx example\n")
    with pytest.raises(GatewayError, match="is no domain"):
        read_me(tmp_path)


def test_rcpthosts(tmp_path: Path) -> None:
    """A line is a domain, in any case and spelling; '.suffix' is every domain below it."""
    (tmp_path / "rcpthosts").write_text("Ours.example\n.Sub.example\nBÜCHER.example\n")
    hosts = RcptHosts(tmp_path, "mx.example")
    for domain in ("ours.example", "mx.example", "a.sub.example", "a.b.sub.example"):
        assert domain in hosts
    assert "xn--bcher-kva.example" in hosts
    for domain in ("sub.example", "xsub.example", "a.ours.example", "example", ""):
        assert domain not in hosts
    (tmp_path / "rcpthosts").write_text("ours.example\nthe rest\n")
    with pytest.raises(GatewayError) as caught:
        RcptHosts(tmp_path, "mx.example")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("line", "inside", "outside"),
    [
        ("192.0.2.7", ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.70", "192.0.2.8", ""]),
        ("192.0.2.", ["192.0.2.0", "192.0.2.255"], ["192.0.3.1", "192.0.20.1"]),
        ("10.", ["10.9.8.7"], ["100.1.1.1", "9.10.1.1"]),
        ("192.0.2.0/25", ["192.0.2.0", "192.0.2.127"], ["192.0.2.128"]),
        ("2001:db8::1", ["2001:db8:0::1", "2001:DB8::1"], ["2001:db8::10"]),
        ("2001:db8:e4:", ["2001:db8:e4::9"], ["2001:db8:e40::9", "2001:db8::e4"]),
        ("2001:db8::/32", ["2001:db8:ffff::"], ["2001:db9::", "192.0.2.1"]),
    ],
)
def test_relayclients(tmp_path: Path, line: str, inside: list[str], outside: list[str]) -> None:
    """A line is an address, a prefix that ends with a dot or colon, or a network."""
    (tmp_path / "relayclients").write_text(f"{line}\n")
    clients = RelayClients(tmp_path)
    assert [each for each in inside if each not in clients] == []
    assert [each for each in [*outside, "::1", "unix"] if each in clients] == []


@pytest.mark.parametrize(
    "line", ["192.0.2", "192.0.2.1/24", "localhost", "1.2.3.4.", ".", ":", "2001:db8::1:", "*"]
)
def test_relayclients_that_are_none(tmp_path: Path, line: str) -> None:
    """What is no address, prefix or network is an error: nobody relays by mistake."""
    (tmp_path / "relayclients").write_text(f"192.0.2.1\n{line}\n")
    with pytest.raises(GatewayError) as caught:
        RelayClients(tmp_path)
    assert caught.value.line == 2


@pytest.mark.parametrize("name", ["morercpthosts.cdb", "norelayclients", "morerelayclients"])
def test_lists_that_are_not_supported(tmp_path: Path, name: str) -> None:
    """A list of qpsmtpd's that we don't read must not be there: its verdicts would be missed."""
    refuse_unsupported(tmp_path)
    (tmp_path / name).write_text("")
    with pytest.raises(GatewayError, match="isn't supported"):
        refuse_unsupported(tmp_path)
