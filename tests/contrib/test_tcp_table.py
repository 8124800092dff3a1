"""Postfix's own client, ``postmap -q``, at the doors that are maps; and a trap of TCP tables."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.contrib.recipients import FOREIGN, KNOWN, UNKNOWN, talking
from tests.contrib.sites import CONTRIB, OUR_DOMAINS, below, postfix_tcp_table, running
from tests.peers.check_user import StartCheckUser
from tests.peers.mariadb import MariaDB
from tests.peers.postfix import Postfix
from tests.peers.process import free_port, program

OUR_GROSSE = "größe@ours.example"


def look_up(table: str, key: str) -> tuple[int, str]:
    """postmap's exit status and what it says: 0 and the value, 1 and nothing, 1 and an error."""
    command = [program("postmap", "postfix", "/usr/sbin"), "-q", key, table]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


@pytest.mark.fault("PC15")
@pytest.mark.parametrize("door", ["tcp_table", "socketmap"])
def test_postmap(
    peer_folder: Path, start_check_user: StartCheckUser, accounts: MariaDB, door: str
) -> None:
    """Known keys come back, encoded or not; others aren't found; a fault is neither."""
    port = free_port()
    if door == "tcp_table":
        address, table = f"inet:127.0.0.1:{port}", f"tcp:127.0.0.1:{port}"
    else:
        socket = peer_folder / "socketmap.sock"
        address, table = f"unix:{socket}", f"socketmap:unix:{socket}:recipients"
    start_check_user(f"{door} {address}")
    for key in (KNOWN, '"at,home"@ours.example', "postmaster"):
        assert look_up(table, key) == (0, key)
    assert look_up(table, '"known" @ours.example') == (1, "")
    for key in (UNKNOWN, FOREIGN, "@ours.example", "50%off@ours.example", "100%@ours.example"):
        assert look_up(table, key) == (1, "")
    accounts.kill()
    status, text = look_up(table, KNOWN)
    assert status == 1
    assert "error" in text


def test_letters_of_other_alphabets(peer_folder: Path, start_check_user: StartCheckUser) -> None:
    """Postfix folds such a table's keys, ß to ss: with SMTPUTF8 it would refuse who is there."""
    site = postfix_tcp_table(peer_folder)
    settings = (CONTRIB / "postfix" / "tcp_table.main.cf").read_text()
    port = str(site.where)
    careless = settings.replace("smtputf8_enable = no", "").replace("10043", port)
    folding = Postfix(below(peer_folder, "folding"), OUR_DOMAINS + careless)
    start_check_user(site.door)
    for server, code in ((site.server, 250), (folding, 550)):
        with running(server), talking(server) as session:
            assert session.rcpt(OUR_GROSSE)[0] == code
