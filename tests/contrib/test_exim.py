"""Exim's own side of the ``exim`` door: readsocket by ``-be``, and the trap in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.contrib.recipients import FOREIGN, KNOWN, UNKNOWN, talking
from tests.contrib.sites import RUN, SOCKET, Site, below, exim, running
from tests.peers.check_user import StartCheckUser
from tests.peers.exim import Exim
from tests.peers.mariadb import MariaDB
from tests.peers.stranger import Stranger

CARELESS = """
  warn
    set acl_m_r = ${readsocket{/run/check_user/asked.sock}{$local_part@$domain\\n}{5s}{}{DENYSOFT}}
  defer
    condition = ${if match{$acl_m_r}{^DENYSOFT}}
  deny
    condition = ${if !match{$acl_m_r}{^DECLINED}}
"""


def readsocket(site: Site, address: str, options: str) -> str:
    """What Exim's expansion gives."""
    assert isinstance(site.server, Exim)
    item = f"${{readsocket{{{RUN}/{SOCKET}}}{{{address}\\n}}{{{options}}}{{|}}{{failed}}}}"
    command = site.server.with_arguments("-be", item)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip("\n")


@pytest.mark.fault("PC04")
@pytest.mark.parametrize("options", ["5s", "5s:shutdown=no"])
def test_readsocket(
    peer_folder: Path, start_check_user: StartCheckUser, accounts: MariaDB, options: str
) -> None:
    """Exim's own client reads one line and its end, whether it ends its half or not."""
    site = exim(peer_folder)
    start_check_user(site.door)
    assert readsocket(site, KNOWN, options) == "DECLINED known|"
    assert readsocket(site, FOREIGN, options) == "DECLINED foreign|"
    assert readsocket(site, UNKNOWN, options) == (
        f"DENY Address '{UNKNOWN}' doesn't exist on this server|"
    )
    accounts.kill()
    assert readsocket(site, KNOWN, options) == "DENYSOFT Internal error - try later|"


@pytest.mark.fault("PC21")
def test_a_door_that_closes_without_a_word(peer_folder: Path) -> None:
    """It is no failure to readsocket: a careless ACL refuses for good, the recipe for now."""
    site = exim(peer_folder)
    careless = Exim(below(peer_folder, "careless"), CARELESS, peer_folder / "run")
    for server, code in ((site.server, 451), (careless, 550)):
        mute = Stranger(site.where, lambda: lambda data: b"", once=True)
        with mute, running(server), talking(server) as session:
            assert session.rcpt(KNOWN)[0] == code
