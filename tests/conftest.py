"""What every test has: the markers, and the real servers of ``tests/peers``."""

import pytest

pytest_plugins = ["tests.peers.fixtures"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(*ids): the faults (docs/faults.md) that it covers")
    config.addinivalue_line("markers", "soak: runs for minutes")
