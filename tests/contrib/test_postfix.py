"""Postfix's own ways to read an address, and what each snippet of ``contrib/postfix`` makes of it.

Each trap is shown twice: what Postfix makes of it by default, and what the recipe makes of it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.contrib.recipients import FOREIGN, KNOWN, UNKNOWN, talking
from tests.contrib.sites import SNIPPETS, below, postfix, running
from tests.peers.check_user import StartCheckUser
from tests.peers.mariadb import MariaDB
from tests.peers.postfix import Postfix
from tests.peers.process import free_port, program

GROSSE = "größe@ours.example"
KELVIN = "\u212anown@ours.example"
MYORIGIN = "myorigin = ours.example\nmydestination = ours.example\n"


def settings_of(server: Postfix) -> str:
    """Its main.cf."""
    return (server.folder / "etc" / "main.cf").read_text()


def careless(folder: Path, server: Postfix, *lines: str) -> Postfix:
    """The same Postfix without some lines of its recipe, and with the same queue."""
    settings = settings_of(server)
    for line in lines:
        assert settings.count(line) == 1
        settings = settings.replace(line, "")
    made = Postfix(below(folder, "careless"), "")
    settings = settings.replace(f"{server.folder}/data", f"{made.folder}/data")
    (made.folder / "etc" / "main.cf").write_text(settings)
    return made


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


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_text_of_a_refusal(
    peer_folder: Path, start_check_user: StartCheckUser, snippet: str
) -> None:
    """Where check_user says the whole reply, and not only "not found", it is the original's."""
    site = postfix(peer_folder, snippet)
    start_check_user(site.door)
    with running(site.server), talking(site.server) as session:
        text = session.rcpt(UNKNOWN)[1]
    if site.passes_codes:
        assert text.endswith(f"Address '{UNKNOWN}' doesn't exist on this server")
    else:
        assert "User unknown" in text


@pytest.mark.fault("SQ02", "SQ06")
@pytest.mark.parametrize("snippet", [each for each in SNIPPETS if each[0] in "st"])
def test_letters_of_other_alphabets(
    peer_folder: Path, start_check_user: StartCheckUser, snippet: str
) -> None:
    """Postfix folds a table's keys, ß to ss and the Kelvin sign to k: with SMTPUTF8 it would refuse
    who is there, and accept who isn't.
    """
    site = postfix(peer_folder, snippet)
    start_check_user(site.door)
    assert isinstance(site.server, Postfix)
    folding = careless(peer_folder, site.server, "smtputf8_enable = no")
    for server, codes in ((site.server, [250, 550]), (folding, [550, 250])):
        with running(server), talking(server) as session:
            assert [session.rcpt(each)[0] for each in (GROSSE, KELVIN)] == codes


ROUTES = ["unknown%ours.example", "ours.example!unknown", "unknown%ours.example@mx.example"]


@pytest.mark.parametrize("snippet", ["policy", "milter"])
def test_names_without_a_domain(
    peer_folder: Path, start_check_user: StartCheckUser, snippet: str
) -> None:
    """Who isn't there doesn't come in by a name that Postfix makes an address of, nor by a route.

    Without one word of the recipe he does; with it postmaster still has a mailbox.
    """
    site = postfix(peer_folder, snippet)
    start_check_user(site.door)
    assert isinstance(site.server, Postfix)
    main = site.server.folder / "etc" / "main.cf"
    main.write_text(settings_of(site.server).replace("mydestination =\n", MYORIGIN))
    trap = careless(peer_folder, site.server, ",\n    reject_non_fqdn_recipient")
    for server, code in ((trap, 250), (site.server, 504)):
        with running(server), talking(server) as session:
            assert session.rcpt("unknown")[0] == code
            assert session.rcpt("postmaster")[0] == 250
            assert [session.rcpt(each)[0] // 100 for each in ROUTES] == [5, 5, 5]
