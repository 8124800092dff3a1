"""The file's form: what a file from 2007 may look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from check_user.config import ConfigError, Settings, parse

FILE = Path("/etc/qpsmtpd/check_user")

BASE = {
    "driver": "mysql",
    "database": "maildb",
    "user": "qpsmtpd",
    "passwd": "secret",
    "email_table": "emailtable",
    "domain_table": "emailtable",
    "email_address": "address",
    "domain_domain": "domain",
}


def write(**changes: str | None) -> bytes:
    keys = {**BASE, **changes}
    return "".join(f"{k}={v}\n" for k, v in keys.items() if v is not None).encode()


def settings(**changes: str | None) -> Settings:
    return parse(FILE, write(**changes))


def refusal(data: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(FILE, data)
    return caught.value


@pytest.mark.parametrize(
    "value",
    ["a#b", "#", "a=b==", '"quoted"', "it's", "a b", "päß", "a\\b", "$HOME", "%s{}", "a\tb", ""],
)
def test_a_password_survives_as_it_is(value: str) -> None:
    """A value is everything after the first '=', whatever is in it but blanks at its ends."""
    assert settings(passwd=value).passwd.reveal() == value


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.rstrip(b"\n"),
        lambda data: data.replace(b"=", b" \t=  ").replace(b"\n", b" \t\n  "),
        lambda data: b"# comment\n\n   # so is this: a=b\n \t \n" + data,
        lambda data: "# Benutzerprüfung für Köln\n".encode("latin-1") + data,
    ],
    ids=["CRLF", "BOM", "no last newline", "blanks", "comments", "Latin-1 comment"],
)
def test_the_form_does_not_matter(change: object) -> None:
    """Line ends, a byte order mark, blanks, comments and empty lines change no setting."""
    assert callable(change)
    assert parse(FILE, change(write())) == parse(FILE, write())


@pytest.mark.parametrize(
    ("data", "line", "key", "word"),
    [
        (b"driver\n", 1, "", "key=value"),
        (b"\n=mysql\n", 2, "", "no key"),
        (b"passwd=\xfc\n", 1, "passwd", "UTF-8"),
        (b"user=a\0b\n", 1, "user", "control"),
        (b"user=a\rb\n", 1, "user", "control"),
        ("user=a\x85b\n".encode(), 1, "user", "control"),
        (b"\nemial_table=x\n", 2, "emial_table", "did you mean 'email_table'"),
        (b"Driver=mysql\n", 1, "Driver", "did you mean 'driver'"),
        ("\xa0driver=mysql\n".encode(), 1, "\\xc2\\xa0driver", "did you mean 'driver'"),
        (b"user=a\n#\nuser=b\n", 3, "user", "after line 1"),
        (b"notify_email=a@example.org\n", 1, "notify_email", "log"),
        (b"x\x1b[31m=1\n", 1, "x\x1b[31m", "not a key"),
    ],
)
def test_an_error_names_line_and_key(data: bytes, line: int, key: str, word: str) -> None:
    """An error says in one line which line and key are wrong, and what was meant."""
    error = refusal(data)
    assert (error.file, error.line, error.key) == (FILE, line, key)
    assert word in error.message
    assert str(error).startswith(f"{FILE}:{line}: ")
    assert "\n" not in str(error)


@pytest.mark.fault("OS07")
@pytest.mark.parametrize("kept", range(len(BASE)))
def test_a_file_cut_at_a_line_names_what_is_missing(kept: int) -> None:
    """A file that ends early is an error naming every missing key (OS07)."""
    error = refusal(b"".join(write().splitlines(keepends=True)[:kept]))
    missing = list(BASE)[kept:]
    assert all(name in error.message for name in missing)
    assert not any(name in error.message.split() for name in list(BASE)[:kept])


@pytest.mark.fault("OS07")
def test_every_prefix_is_settings_or_an_error() -> None:
    """A half-written file is an error or a configuration, never another exception (OS07)."""
    whole = write(passwd="päß", listen="policy inet:127.0.0.1:10040")
    for end in range(len(whole)):
        try:
            parse(FILE, whole[:end])
        except ConfigError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
