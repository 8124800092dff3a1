"""Start and reload with qpsmtpd's files, right and wrong ones; what the doctor says of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.peers.mariadb import MariaDB
from tests.peers.process import free_port
from tests.smtp.gateway import (
    ANNA,
    FOREIGN,
    KARL,
    MAILDIR,
    NOBODY,
    Gateway,
    one_rcpt,
    plugins,
    write,
)

ETC = Path("/etc/qpsmtpd")
"""The package's own files."""

YEAR_2007 = Path(__file__).parents[1] / "data" / "qpsmtpd-2007"

PLUGINS = "# what is asked, in turn\n\n  check_user\nrcpt_ok\nqueue/maildir mail\n"
MISSING = "tls server.pem server.key\n"

REFUSED: dict[str, tuple[Mapping[str, str], str, str]] = {
    "an unknown plugin": (
        {"plugins": PLUGINS + "virus/clamav\n"},
        "plugins:6",
        "no plugin 'virus/clamav'",
    ),
    "no queue": ({"plugins": "check_user\nrcpt_ok\n"}, "plugins", "no queue plugin"),
    "two queues": ({"plugins": PLUGINS + "queue/smtp-forward ::1 25\n"}, "plugins:6", "a queue"),
    "nobody checked": (
        {"plugins": "rcpt_ok\ncheck_user\nqueue/maildir mail\n"},
        "plugins:2",
        "before rcpt_ok",
    ),
    "no certificate": ({"plugins": MISSING + PLUGINS}, "plugins:1", "No such file"),
    "no file": ({"plugins": "# nothing\n"}, "plugins", "no plugin in it"),
    "a next hop's port": (
        {"plugins": "check_user\nrcpt_ok\nqueue/smtp-forward mx 70000\n"},
        "plugins:3",
        "HOST PORT",
    ),
    "no domain": ({"rcpthosts": "# ours\nours..example\n"}, "rcpthosts:2", "no domain"),
    "no client": ({"relayclients": "127.0.0.1\nlocalhost\n"}, "relayclients:2", "address"),
    "no name": ({"me": "not a name\n"}, "me:1", "no domain"),
    "an include": ({"rcpthosts": "$include more\n"}, "rcpthosts:1", "more"),
    "a list beside": ({"morerelayclients": "10.\n"}, "morerelayclients", "isn't supported"),
}


def command(folder: Path, name: str, files: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``check-user`` on a gateway's folder."""
    gateway = Gateway(folder, PLUGINS, files=files)
    gateway._notify.close()
    file = folder / "check_user.conf"
    return subprocess.run(
        [sys.executable, "-m", "check_user", name, "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def warnings(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the doctor warns of, as far as it is the gateway's."""
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    return [text for level, text in lines if level == "warning" and text.startswith("gateway")]


@pytest.mark.fault("OS07")
@pytest.mark.parametrize(("files", "place", "words"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_file_is_one_line(
    tmp_path: Path, files: Mapping[str, str], place: str, words: str
) -> None:
    """A gateway that can't be is exit 78 and one line: the file, the line, and what was meant."""
    done = command(tmp_path, "serve", files)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (78, "", 1), done.stderr
    assert done.stderr.startswith(f"check-user: {tmp_path}/{place}: ")
    assert words in done.stderr


@pytest.mark.parametrize(("files", "place", "words"), REFUSED.values(), ids=REFUSED)
def test_the_doctor_says_the_same(
    tmp_path: Path, files: Mapping[str, str], place: str, words: str
) -> None:
    """`check` has that line as an error, and exit 1."""
    done = command(tmp_path, "check", files)
    assert done.returncode == 1, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("error")]
    assert f"{tmp_path}/{place}: " in line
    assert words in line


def test_the_doctor_and_a_next_hop(tmp_path: Path) -> None:
    """A next hop that isn't there is a warning; nothing is written where mail would be."""
    port = free_port()
    away = command(tmp_path, "check", {"plugins": plugins(f"queue/smtp-forward 127.0.0.1 {port}")})
    assert away.returncode == 0, away.stdout
    (line,) = warnings(away)
    assert f"next hop 127.0.0.1 {port}: can't connect" in line
    healthy = command(tmp_path, "check", {"plugins": PLUGINS})
    assert healthy.returncode == 0, healthy.stdout
    assert f"{tmp_path}/plugins can be used" in healthy.stdout
    assert warnings(healthy) == []
    assert not (tmp_path / "mail").exists()
    (tmp_path / "mail").write_text("in the way")
    (line,) = warnings(command(tmp_path, "check", {}))
    assert "mail: Not a directory" in line


def test_a_stock_file_of_the_package(tmp_path: Path) -> None:
    """Debian's own `plugins` is refused at the first plugin that we don't have, by its line."""
    lines = (ETC / "plugins").read_text()
    first = next(
        (number, line.split()[0])
        for number, line in enumerate(lines.splitlines(), 1)
        if line.strip() and not line.startswith("#")
    )
    done = command(tmp_path, "serve", {"plugins": lines})
    assert done.returncode == 78
    assert f"{tmp_path}/plugins:{first[0]}: there is no plugin '{first[1]}'" in done.stderr


def test_behind_files_of_qpsmtpd(peer_folder: Path, mariadb: MariaDB) -> None:
    """A folder of qpsmtpd's with the 2007 configuration is a gateway once `listen` is there.

    The package's rcpthosts (comments, $include) and relayclients are taken as they are.
    """
    more = "\n# the old ones\n  ours.example\n.sub.example \n\n"
    mariadb.execute((YEAR_2007 / "maildb.sql").read_text())
    old = (YEAR_2007 / "check_user").read_text()
    where = f"database=maildb;mysql_socket={mariadb.socket}"
    files = {"me": "mx.example\n# not this\n", "rcpthosts": (ETC / "rcpthosts").read_text() + more}
    gateway = Gateway(peer_folder, PLUGINS, files=files)
    for name in ("relayclients", "loglevel", "spool_dir", "plugin_dirs"):
        shutil.copy(ETC / name, peer_folder)
    file = peer_folder / "check_user"
    listen = f"listen=smtp inet:127.0.0.1:{gateway.port}\n"
    file.write_text(old.replace("database=maildb", where) + listen)
    gateway.command[-1] = str(file)
    with gateway:
        with gateway.client() as client:
            assert client.greeting == (220, "mx.example ESMTP check_user ready")
        names = ("known@ours.example", "unknown@ours.example", "a@mx.example", "a@b.sub.example")
        assert [one_rcpt(gateway, name)[0] for name in names] == [250, 550, 250, 250]
        assert one_rcpt(gateway, "a@sub.example") == (550, "5.7.1 Relaying denied")
        assert one_rcpt(gateway, FOREIGN)[0] == 550
        with gateway.client("127.0.0.1") as client:
            assert client.begin(FOREIGN, "unknown@ours.example") == [250, 250, 550]
        assert gateway.deliver(b"Subject: x\r\n\r\nhi\r\n", "known@ours.example")[-1] == 250


def test_nobody_decided(tmp_path: Path) -> None:
    """Without rcpt_ok no recipient is taken: 450, as in qpsmtpd."""
    with Gateway(tmp_path, f"check_user\n{MAILDIR}\n", workers="1") as gateway:
        assert one_rcpt(gateway, ANNA)[0] == 450
        assert one_rcpt(gateway, NOBODY)[0] == 550
    assert len(gateway.logged("there is no rcpt_ok")) == 1


def test_nobody_checked(tmp_path: Path) -> None:
    """Without check_user every recipient at our domains is taken: the log says so, and the doctor
    warns of it."""
    lines = f"rcpt_ok\n{MAILDIR}\n"
    with Gateway(tmp_path, lines, workers="1") as gateway:
        assert one_rcpt(gateway, NOBODY)[0] == 250
    assert len(gateway.logged("there is no check_user")) == 1
    done = command(tmp_path, "check", {"plugins": lines})
    assert done.returncode == 0, done.stdout
    (line,) = warnings(done)
    assert f"{tmp_path}/plugins: there is no check_user in it" in line


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reload(peer_folder: Path, workers: str) -> None:
    """SIGHUP: new sessions have the new files, those that go on have the ones they began with."""
    with Gateway(peer_folder, MAILDIR, workers=workers) as gateway, gateway.client() as old:
        assert old.begin(ANNA) == [250, 250]
        assert one_rcpt(gateway, "anna@example.net")[0] == 550
        changes = {
            "me": "new.example\n",
            "rcpthosts": "example.net\n",
            "plugins": plugins("queue/maildir new"),
        }
        write(peer_folder, changes)
        gateway.reload()
        with gateway.client() as new:
            assert new.greeting[1].startswith("new.example ")
            assert new.begin("anna@example.net", ANNA) == [250, 250, 550]
            assert new.data(b"Subject: new\r\n\r\nhi\r\n")[0] == 250
        assert old.rcpt(KARL)[0] == 250
        assert old.rcpt("anna@example.net")[0] == 550
        assert old.data(b"Subject: old\r\n\r\nhi\r\n")[0] == 250
        assert b"Subject: old" in gateway.delivered()[0]
        assert len(list((peer_folder / "new" / "new").iterdir())) == 1


@pytest.mark.fault("OS07")
@pytest.mark.parametrize("files", [{"plugins": "check_user\n"}, {"rcpthosts": "not a domain\n"}])
def test_a_bad_reload(peer_folder: Path, files: Mapping[str, str]) -> None:
    """Files that can't be used change nothing, and the log names the one at fault."""
    with Gateway(peer_folder, MAILDIR) as gateway, gateway.client() as old:
        write(peer_folder, files)
        gateway.reload()
        assert old.begin(ANNA) == [250, 250]
        assert one_rcpt(gateway, ANNA)[0] == 250
        assert one_rcpt(gateway, NOBODY)[0] == 550
    (told,) = gateway.logged("not reloaded")
    assert f"{peer_folder}/{next(iter(files))}" in told


def test_the_end_of_the_service(peer_folder: Path) -> None:
    """SIGTERM: a client that is between two commands is told 421, and the service ends."""
    with Gateway(peer_folder, MAILDIR) as gateway, gateway.client() as client:
        assert client.begin(ANNA) == [250, 250]
        gateway.process.terminate()
        assert client.rest().startswith(b"421 4.3.2 gateway.example ")
        assert gateway.process.wait(10) == 0
    assert gateway.logged("stopping")
