"""The commands as a person types them: output, exit codes, pipes."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from check_user import __version__
from check_user.app.doctor import MAIL_USERS
from check_user.cli import COMMANDS, main
from check_user.cli.arguments import LINE_DOOR, parser
from check_user.cli.lookup import exit_code
from check_user.config import KEYS, reference
from check_user.verdict import Reason
from tests.app.serving import Serving, configure, free_port

NO = "doesn't exist on this server"

LINES = {
    "anna@example.org": "DECLINED\tknown\tLocal address 'anna@example.org'",
    "nobody@example.org": f"DENY\tunknown\tAddress 'nobody@example.org' {NO}",
    "a@elsewhere.example": "DECLINED\tforeign\tForeign address 'a@elsewhere.example'",
    "postmaster": "DECLINED\tknown\tLocal address 'postmaster'",
    "former@example.org": f"DENY\tunknown\tAddress 'former@example.org' {NO}",
    "a@b@c": "DENY\tmalformed\tMalformed address",
}


def run(
    *arguments: str, stdin: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "check_user", *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **(environment or {})},
    )


@pytest.mark.parametrize(
    ("addresses", "code"),
    [
        (["anna@example.org", "postmaster"], 0),
        (["anna@example.org", "nobody@example.org", "a@elsewhere.example"], 1),
        (["a@b@c"], 1),
        (["former@example.org"], 1),
        (["anna@example.org", "a@elsewhere.example"], 3),
    ],
)
def test_lookup(tmp_path: Path, addresses: list[str], code: int) -> None:
    """lookup prints address, verdict, reason and text with tabs between, and tells by its code."""
    done = run("lookup", "--config", str(configure(tmp_path)), *addresses)
    assert done.stdout.decode() == "".join(f"{text}\t{LINES[text]}\n" for text in addresses)
    assert (done.returncode, done.stderr) == (code, b"")


def test_exit_codes() -> None:
    """The gravest verdict decides: could not be told, refused, foreign, known, in this order."""
    assert exit_code({Reason.KNOWN}) == 0
    assert exit_code({Reason.KNOWN, Reason.FOREIGN}) == 3
    assert exit_code({Reason.FOREIGN, Reason.UNKNOWN}) == 1
    assert exit_code({Reason.FOREIGN, Reason.MALFORMED}) == 1
    assert exit_code({Reason.UNKNOWN, Reason.FAULT}) == 75


def test_lookup_from_standard_input(tmp_path: Path) -> None:
    """'-' reads addresses line by line; there is a line out for each one, in order."""
    addresses = [f"{word}{number}@example.org" for number in range(300) for word in ("a", "b")]
    addresses[77] = "anna@example.org"
    stdin = "\n".join(addresses).encode() + b"\r\n\n\xff\x1b[31m\t@example.org"
    done = run("lookup", "--config", str(configure(tmp_path)), "-", stdin=stdin)
    lines = done.stdout.decode().splitlines()
    assert [line.split("\t")[0] for line in lines[:600]] == addresses
    assert lines[77].endswith(LINES["anna@example.org"])
    assert lines[600] == "\tDENY\tmalformed\tMalformed address"
    assert lines[601].startswith("\\udcff\\x1b[31m\\t@example.org\tDENY\tmalformed\t")
    assert len(lines) == 602
    assert done.returncode == 1


def test_lookup_answers_before_the_next_question(tmp_path: Path) -> None:
    """An address typed on standard input is answered before another one is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "check_user", "lookup", "--config", str(configure(tmp_path)), "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    with process:
        for address in ("anna@example.org", "nobody@example.org"):
            process.stdin.write(address.encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().decode() == f"{address}\t{LINES[address]}\n"
        process.stdin.close()
        assert process.wait(20) == 1


def test_lookup_without_a_database(tmp_path: Path) -> None:
    """With no database to reach, what needs it is DENYSOFT and exit 75; the rest is answered."""
    changes = {"driver": "mysql", "host": "127.0.0.1", "user": "u", "passwd": "hunter2"}
    file = configure(tmp_path, **changes, port=str(free_port()))
    done = run("lookup", "--explain", "--config", str(file), "anna@example.org", "a@b@c")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "anna@example.org\tDENYSOFT\tfault\tInternal error - try later"
    assert f"a@b@c\t{LINES['a@b@c']}" in lines
    assert any(line.startswith("  cause   ") for line in lines)
    assert done.returncode == 75
    assert b"hunter2" not in done.stdout + done.stderr


def test_lookup_as_json(tmp_path: Path) -> None:
    """--json is an object a line; with --explain it has the steps, with query, values and rows."""
    file = str(configure(tmp_path))
    done = run("lookup", "--config", file, "--json", "Anna@EXAMPLE.org", "a@b@c")
    known, malformed = map(json.loads, done.stdout.splitlines())
    assert known["address"] == "Anna@EXAMPLE.org"
    assert (known["verdict"], known["reason"]) == ("DECLINED", "known")
    assert known["key"] == "anna@example.org"
    assert known["ms"] > 0
    assert (malformed["code"], malformed["enhanced"]) == (553, "5.1.3")
    assert "steps" not in known
    done = run("lookup", "--config", file, "--json", "--explain", "anna@example.org")
    (step,) = json.loads(done.stdout)["steps"]
    assert set(step) == {"name", "query", "values", "rows", "origin", "ms"}
    assert "emailtable" in step["query"]


def test_lookup_explained(tmp_path: Path) -> None:
    """--explain shows the key, and each step's query, values, rows, origin and milliseconds."""
    done = run("lookup", "--config", str(configure(tmp_path)), "--explain", "Anna@EXAMPLE.org")
    text = done.stdout.decode()
    assert "\n  key     anna@example.org\n" in text
    assert re.search(r"\n  step 1  .*: 1 row from database in [0-9.]+ ms\n", text)
    assert re.search(r"\n          query   SELECT .*emailtable", text)
    assert "\n          values  '" in text
    assert re.search(r"\n          rows    'anna \| example.org", text)


def test_a_reader_that_has_enough(tmp_path: Path) -> None:
    """`lookup - | head -1` ends at once and without a word, as any filter does."""
    command = (
        f"yes anna@example.org | {sys.executable} -m check_user lookup --config $0 - | head -1"
    )
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[1]}}", str(configure(tmp_path))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == [
        f"anna@example.org\t{LINES['anna@example.org']}",
        str(128 + signal.SIGPIPE),
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [[], ["lookup"], ["recipe"], ["replica"], ["nosuch"]])
def test_usage(arguments: list[str]) -> None:
    """A wrong command line is exit 2; so is a command that there isn't."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_version() -> None:
    """`python -m check_user --version` names the package and its version."""
    assert run("--version").stdout.decode() == f"check_user {__version__}\n"


@pytest.mark.parametrize("command", ["serve", "lookup x", "config"])
def test_a_wrong_configuration_is_exit_78(tmp_path: Path, command: str) -> None:
    """Every command tells an error in the configuration in one line and exits 78."""
    file = tmp_path / "check_user.conf"
    file.write_text("dirver=mysql\n", encoding="utf-8")
    done = run(*command.split(), "--config", str(file))
    assert (done.returncode, done.stdout) == (78, b"")
    error = f"check-user: {file}:1: dirver: not a key of ours; did you mean 'driver'?\n"
    assert done.stderr.decode() == error
    absent = run(*command.split(), environment={"CHECK_USER_CONFIG": "/nonexistent/a.conf"})
    assert absent.returncode == 78
    assert b"/nonexistent/a.conf" in absent.stderr


@pytest.mark.fault("AB06")
def test_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """config prints the settings in force without the password; --reference prints every key."""
    file = configure(tmp_path, driver="SQLite", passwd="hunter2")
    assert main(["config", "--config", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "\ndriver=sqlite\n" in printed
    assert "\npasswd=(hidden)\n" in printed
    assert "hunter2" not in printed
    assert main(["config", "--reference"]) == 0
    assert capsys.readouterr().out == reference()


def findings(file: Path) -> tuple[int, list[str]]:
    done = run("check", "--config", str(file))
    assert done.stderr == b""
    return done.returncode, done.stdout.decode().splitlines()


def test_check_finds_nothing_wrong(tmp_path: Path) -> None:
    """check says a line for each thing that it looked at, and exits 0 without an error."""
    code, lines = findings(configure(tmp_path))
    assert code == 0
    assert all(line.startswith(("ok ", "warning ")) for line in lines)
    assert any(line.startswith("ok      configuration: ") for line in lines)
    assert any(f"unix:{tmp_path}/line.sock can be opened" in line for line in lines)
    assert any("an index serves the lookup" in line for line in lines)
    assert not (tmp_path / "line.sock").exists()


@pytest.mark.parametrize(
    ("listen", "changes", "word"),
    [
        ("line unix:{0}/line.sock", {"colour": "blue"}, "colour"),
        ("line unix:{0}/line.sock", {"email_table": "nosuch"}, "nosuch"),
        ("line unix:{0}/nosuch/line.sock", {}, "its folder is not there"),
        ("http inet:127.0.0.1:25", {}, "later version"),
    ],
)
def test_check_finds_errors(
    tmp_path: Path, listen: str, changes: dict[str, str], word: str
) -> None:
    """check exits 1 when anything keeps check_user from serving, and says what."""
    code, lines = findings(configure(tmp_path, listen.format(tmp_path), **changes))
    assert code == 1
    assert any(line.startswith("error ") and word in line for line in lines)


def test_check_beside_the_service(tmp_path: Path) -> None:
    """check finds a running service's doors open already, which is no error, and disturbs none."""
    file = configure(tmp_path, f"line unix:{tmp_path}/a", f"line inet:127.0.0.1:{free_port()}")
    with Serving(tmp_path, file):
        code, lines = findings(file)
        assert (tmp_path / "a").is_socket()
    assert code == 0
    assert sum("is open already" in line for line in lines) == 2


@pytest.mark.fault("AB06")
def test_check_warns_of_a_password_that_all_can_read(tmp_path: Path) -> None:
    """check warns when the file with the password is readable by every user (AB06)."""
    (tmp_path / "pw").write_text("hunter2")
    for changes, file in (({"passwd": "x"}, "check_user.conf"), ({"passwd_file": "pw"}, "pw")):
        configuration = configure(tmp_path, **changes)
        for mode, level in ((0o644, "warning"), (0o640, "ok")):
            (tmp_path / file).chmod(mode)
            code, lines = findings(configuration)
            (line,) = [each for each in lines if f"{tmp_path}/{file}" in each and "passwd" in each]
            assert line.startswith(level)
            assert code == 0


def test_check_tells_who_may_connect() -> None:
    """check warns when no mail server's user here may connect to a socket, by mode and owner."""
    here = [user for user in pwd.getpwall() if user.pw_name in MAIL_USERS]
    assert here, "the tests' packages bring a mail server's user"
    with tempfile.TemporaryDirectory() as name:  # pytest's folders are the test user's alone
        for folder, socket, level in (
            (0o755, "0660", "warning"),
            (0o755, "0666", "ok"),
            (0o700, "0666", "warning"),
        ):
            Path(name).chmod(folder)
            code, lines = findings(configure(Path(name), socket_mode=socket))
            (line,) = [line for line in lines if "door line" in line and "opened" not in line]
            assert line.startswith(level)
            assert here[0].pw_name in line
            assert code == 0


def assert_gives(command: str, said: list[str], place: int) -> None:
    """What a command gives stands two lines below ``place``."""
    done = subprocess.run(
        shlex.split(command), capture_output=True, text=True, timeout=30, check=False
    )
    lines = done.stdout.splitlines()
    assert lines
    assert lines == [line.strip() for line in said[place + 2 :]][: len(lines)], done.stderr


def test_the_demo_does_what_it_says(tmp_path: Path) -> None:
    """The demo's commands give what it says that they give, and Ctrl-C leaves nothing behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "check_user", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout
    said: list[str] = []
    with process:
        try:
            while "Every verdict is logged below.\n" not in said:
                line = process.stdout.readline()
                assert line
                said.append(line)
            commands = [line.strip() for line in said if sys.executable in line]
            assert len(commands) == 3
            away, back = (line.partition("mv ")[2].split() for line in said if "mv /" in line)
            for command in commands:
                assert_gives(command, said, said.index(f"  {command}\n"))
            (mail,) = (Path(away[0]).parent / "mail" / "new").iterdir()
            assert "Delivered-To: anna@example.org" in mail.read_text()
            Path(away[0]).rename(away[1])
            assert_gives(commands[1], said, said.index(f"  mv {away[0]} {away[1]}\n"))
            Path(back[0]).rename(back[1])
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_filters_door() -> None:
    """Without an argument OpenSMTPD's filter asks where ``serve`` listens without a setting."""
    assert parser().parse_args(["opensmtpd"]).door == KEYS["listen"].default[0].address == LINE_DOOR


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``check-user COMMAND --help`` says how it is used, and that is no error."""
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: check-user {command}" in capsys.readouterr().out
