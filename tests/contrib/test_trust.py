"""Whom the recipes trust: clients that log in with foreign recipients, nobody with our sockets."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contrib.recipients import FOREIGN, KNOWN, UNKNOWN, talking
from tests.contrib.sites import SITES, Site, exim, haraka, qpsmtpd, running
from tests.peers.check_user import StartCheckUser
from tests.peers.process import program
from tests.peers.smtp import OUTSIDER, Session

USER, PASSWORD = "anna@ours.example", "secret"

AUTHENTICATOR = f"""
begin authenticators

plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{USER}}}}}{{eq{{$auth3}}{{{PASSWORD}}}}}}}}}
"""

STRANGER = 12345
"""A user of this machine who has no business here."""

CONNECT = "IO::Socket::UNIX->new(Peer => shift) or print int $!"
"""Perl, which every account can run; 13 is EACCES."""


def exim_with_auth(folder: Path) -> Site:
    site = exim(folder)
    file = folder / "exim" / "exim.conf"
    rule = "  accept\n    hosts = +relay_from_hosts\n"
    text = file.read_text()
    assert text.count(rule) == 1
    text = text.replace(rule, f"  accept\n    authenticated = *\n\n{rule}")
    file.write_text(text + AUTHENTICATOR)
    return site


def haraka_with_auth(folder: Path) -> Site:
    site = haraka(folder)
    config = folder / "haraka" / "config"
    ini = f"[core]\nmethods=PLAIN\n[users]\n{USER}={PASSWORD}\n"
    (config / "auth_flat_file.ini").write_text(ini)
    plugins = (config / "plugins").read_text()
    (config / "plugins").write_text(f"auth/flat_file\n{plugins}")
    return site


def qpsmtpd_with_auth(folder: Path) -> Site:
    site = qpsmtpd(folder, "forkserver")
    config = folder / "forkserver" / "config"
    (config / "flat_auth_pw").write_text(f"{USER}:{PASSWORD}\n")
    plugins = (config / "plugins").read_text()
    (config / "plugins").write_text(f"auth/auth_flat_file\n{plugins}")
    return site


@pytest.mark.parametrize("make", [exim_with_auth, haraka_with_auth, qpsmtpd_with_auth])
def test_authenticated_clients(
    peer_folder: Path, start_check_user: StartCheckUser, make: Callable[[Path], Site]
) -> None:
    """Whoever has logged in may write to foreign recipients; our unknown ones aren't there for him.

    The same client, before he has logged in, may not.
    """
    site = make(peer_folder)
    start_check_user(site.door)
    secret = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    with running(site.server):
        with talking(site.server) as session:
            assert session.rcpt(FOREIGN)[0] == 550
        with Session(site.server.port, OUTSIDER) as session:
            assert session.command("EHLO client.example")[0] == 250
            assert session.command(f"AUTH PLAIN {secret}")[0] == 235
            assert session.command(f"MAIL FROM:<{USER}>")[0] == 250
            codes = [session.rcpt(each)[0] for each in (FOREIGN, UNKNOWN, KNOWN)]
            assert codes == [250, 550, 250]


GROUPS = {"postfix policy": "postfix", "exim": "nogroup", "qpsmtpd forkserver": "qpsmtpd"}
"""The group of the account that connects. (Exim's, in its namespace, is nobody's.)"""


@pytest.mark.fault("PC20")
@pytest.mark.parametrize("name", GROUPS)
def test_nobody_else_can_connect(
    name: str, peer_folder: Path, start_check_user: StartCheckUser
) -> None:
    """With the mail server's group for our sockets, and no other setting, it may ask; others may
    not, by whichever door.
    """
    site = SITES[name](peer_folder)
    check_user = start_check_user(site.door, sockets=f"socket_group={GROUPS[name]}\n")
    for path in (site.where, check_user.line):
        as_stranger = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
        command = [*as_stranger, program("perl", "perl"), "-MIO::Socket::UNIX", "-e", CONNECT]
        done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
        assert done.stdout == "13"
    with running(site.server), talking(site.server) as session:
        assert [session.rcpt(each)[0] for each in (KNOWN, UNKNOWN)] == [250, 550]
