"""How many clients the process may have."""

from __future__ import annotations

import resource

import pytest

from check_user.servers.capacity import NR_OPEN, Capacity


@pytest.mark.fault("OS01")
@pytest.mark.parametrize(
    ("files", "clients"),
    [(20_000, 19_936), (1024, 960), (128, 64), (64, 32), (resource.RLIM_INFINITY, NR_OPEN - 64)],
)
def test_of_process(monkeypatch: pytest.MonkeyPatch, files: int, clients: int) -> None:
    """64 descriptors are kept back, but never more than a half."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert Capacity.of_process().limit == clients


def test_room() -> None:
    """A client too many doesn't get in until another has left."""
    capacity = Capacity(1)
    assert capacity.enter()
    assert not capacity.enter()
    capacity.leave()
    assert capacity.enter()
