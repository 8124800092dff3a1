"""The client of the ``line`` door: what its process can't show (``test_stdio`` shows the rest)."""

from __future__ import annotations

import math
import select
from pathlib import Path

import pytest

from check_user.protocols import Lookup
from check_user.servers.client import LineClient
from check_user.servers.listen import parse_endpoint
from tests.peers.scripted_door import ScriptedDoor


@pytest.mark.fault("PC21")
def test_the_oldest_is_asked_first(tmp_path: Path) -> None:
    """A question that comes as the connection is lost doesn't overtake those that were lost."""
    with ScriptedDoor(tmp_path / "door", [b""], [b"DENY 1\n", b"DENY 2\n"]) as door:
        client = LineClient(parse_endpoint(door.address), lambda _: None)
        client.ask(Lookup("first@example.org"))
        assert client.step() == []
        wait_for(client)
        client.ask(Lookup("second@example.org"))
        settled = client.step()
        while len(settled) < 2:
            wait_for(client)
            settled += client.step()
        client.give_up("")
    assert [(asked.text, said.text) for asked, said in settled] == [
        ("first@example.org", "1"),
        ("second@example.org", "2"),
    ]


def wait_for(client: LineClient) -> None:
    """Wait as the child does."""
    poller = select.poll()
    if interest := client.interest():
        poller.register(*interest)
    patience = client.patience()
    assert patience is not None
    poller.poll(math.ceil(patience * 1000))
