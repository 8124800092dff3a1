"""``check-user recipe``: the snippets of contrib/, with the configuration's own doors in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from check_user.app.recipe import MAIL_SERVERS, recipe
from check_user.cli import main
from check_user.config import parse

CONTRIB = Path(__file__).parents[2] / "contrib"
LISTEN = re.compile(r"listen=(\S+ (?:unix:/|inet:)\S+)")
BASE = """\
driver=sqlite
database=accounts.sqlite
email_table=accounts
email_address=address
domain_table=domains
domain_domain=domain
"""


def write(folder: Path, *doors: str, more: str = "") -> Path:
    """A configuration with these doors."""
    file = folder / "check_user.conf"
    file.write_text(BASE + "".join(f"listen={door}\n" for door in doors) + more)
    return file


def filled(mail_server: str, name: str, door: str) -> str:
    """A file of the recipe for a configuration with one door, as it is read by the server."""
    settings = parse(Path("check_user.conf"), f"{BASE}listen={door}\n".encode())
    return recipe(settings, mail_server).files[name]


def own_doors(mail_server: str) -> list[str]:
    """Every door that the snippets of a mail server name themselves."""
    texts = [file.read_text() for file in sorted((CONTRIB / mail_server).iterdir())]
    return sorted({door for text in texts for door in LISTEN.findall(text)})


@pytest.mark.parametrize("mail_server", MAIL_SERVERS)
def test_with_the_doors_that_the_snippets_name(
    mail_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every file of contrib/ is printed under its name, as it is but for the program's path."""
    file = write(tmp_path, *own_doors(mail_server))
    assert main(["recipe", mail_server, "--config", str(file)]) == 0
    printed = capsys.readouterr()
    snippets = sorted((CONTRIB / mail_server).iterdir())
    texts = [f"==> {each.name} <==\n{each.read_text()}" for each in snippets]
    assert re.sub(r"\S*/bin/check-user", "PROGRAM", printed.out) == re.sub(
        r"\S*/bin/check-user", "PROGRAM", "\n".join(texts)
    )
    assert printed.err == ""


@pytest.mark.parametrize("mail_server", MAIL_SERVERS)
def test_one_file_alone(
    mail_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is named is printed as it is, ready to be redirected to where it belongs."""
    file = write(tmp_path, *own_doors(mail_server))
    settings = parse(file, file.read_bytes())
    for name, text in recipe(settings, mail_server).files.items():
        assert main(["recipe", mail_server, name, "--config", str(file)]) == 0
        assert capsys.readouterr().out == text


WRITTEN = [
    ("postfix", "policy.main.cf", "policy unix:/var/spool/postfix/a/p", "check_user = unix:a/p"),
    ("postfix", "policy.main.cf", "policy unix:/run/p", "check_user = unix:/run/p"),
    ("postfix", "policy.main.cf", "policy inet:[::1]:7", "check_user = inet:[::1]:7"),
    ("postfix", "milter.main.cf", "milter inet:*:7", "check_user = inet:127.0.0.1:7"),
    ("postfix", "tcp_table.main.cf", "tcp_table inet:127.0.0.1:7", "check_user = tcp:127.0.0.1:7"),
    *(
        (
            "postfix",
            f"socketmap-{name}.main.cf",
            "socketmap inet:127.0.0.1:7",
            "check_user = inet:127.0.0.1:7",
        )
        for name in ("access", "relay_recipient_maps", "virtual_mailbox_maps")
    ),
    ("exim", "acl_check_rcpt", "exim unix:/run/e", "{${readsocket{/run/e}"),
    ("exim", "acl_check_rcpt", "exim inet:127.0.0.1:7", "{${readsocket{inet:127.0.0.1:7}"),
    ("sendmail", "milter.mc", "milter unix:/run/m", "`S=unix:/run/m, F=T"),
    ("sendmail", "milter.mc", "milter inet:127.0.0.1:7", "`S=inet:7@127.0.0.1, F=T"),
    ("sendmail", "milter.mc", "milter inet:[::1]:7", "`S=inet6:7@::1, F=T"),
    ("sendmail", "socketmap.mc", "socketmap unix:/run/s", "-T<TMPF> unix:/run/s\n"),
    ("sendmail", "socketmap.mc", "socketmap inet:*:7", "-T<TMPF> inet:7@127.0.0.1\n"),
    ("opensmtpd", "smtpd.conf", "line unix:/run/l", 'check-user opensmtpd unix:/run/l"'),
    ("opensmtpd", "smtpd.conf", "line inet:127.0.0.1:7", 'opensmtpd inet:127.0.0.1:7"'),
    ("haraka", "check_user.ini", "line unix:/run/l", "socket=/run/l\n"),
    ("qpsmtpd", "plugins", "line unix:/run/l", "check_user socket /run/l\n"),
]


@pytest.mark.parametrize(("mail_server", "name", "door", "written"), WRITTEN)
def test_a_door_as_the_mail_server_writes_it(
    mail_server: str, name: str, door: str, written: str
) -> None:
    """The address stands once where the mail server reads it, and once as the line of ``listen``.

    Nothing is left of the one that the snippet has.
    """
    text = filled(mail_server, name, door)
    assert text.count(written) == 1
    assert LISTEN.findall(text) == [door]
    own = LISTEN.search((CONTRIB / mail_server / name).read_text())
    assert own is not None
    assert own[1].partition(":")[2] not in text


def test_the_first_door_that_can_be_asked() -> None:
    """Of several doors of a name it is the first one that this mail server can reach."""
    doors = "line inet:127.0.0.1:7\nlisten=line unix:/run/a\nlisten=line unix:/run/b"
    assert "socket=/run/a\n" in filled("haraka", "check_user.ini", doors)
    assert "inet:127.0.0.1:7" in filled("opensmtpd", "smtpd.conf", doors)


def test_only_snippets_whose_door_is_open() -> None:
    """A snippet whose door the configuration lacks isn't printed."""
    settings = parse(Path("x"), f"{BASE}listen=milter unix:/run/m\n".encode())
    assert list(recipe(settings, "postfix").files) == ["milter.main.cf"]
    assert list(recipe(settings, "sendmail").files) == ["milter.mc"]


ERRORS = [
    (["exim"], 78, "no door that exim can ask: add listen=exim unix:/run/check_user/exim.sock"),
    (["haraka"], 78, "add listen=line unix:/run/check_user/line.sock"),
    (["sendmail", "socketmap.mc"], 78, "add listen=socketmap unix:/run/check_user/socketmap.sock"),
    (["postfix", "tcp_table.main.cf"], 78, "add listen=tcp_table inet:127.0.0.1:10043"),
    (["courier"], 2, "'courier' is no mail server with a recipe: postfix, exim, sendmail"),
    (["sendmail", "milter"], 2, "'milter' is no file of this recipe: milter.mc"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), ERRORS)
def test_what_is_missing(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line on stderr that says what to add or what there is, and nothing on stdout."""
    file = write(tmp_path, "milter unix:/run/m", "line inet:127.0.0.1:7", "tcp_table unix:/run/t")
    assert main(["recipe", *arguments, "--config", str(file)]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_what_to_beware_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Time limits that are too short, a socket outside of Postfix's chroot: a line on stderr."""
    file = write(tmp_path, "policy unix:/run/p", more="lookup_timeout=10\n")
    assert main(["recipe", "postfix", "--config", str(file)]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 2
    assert "no smtpd in a chroot" in notes[0]
    assert "lookup_timeout=10" in notes[1]
