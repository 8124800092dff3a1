"""What systemd is told: one datagram a change of state (sd_notify(3)), nothing where it isn't.

READY=1            the doors are open
RELOADING=1\\nMONOTONIC_USEC=...    a new configuration is tried; READY=1 follows
STOPPING=1
WATCHDOG=1         every half of WATCHDOG_USEC, from the event loop, so that a loop that hangs
                   is noticed
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Tells the service manager that ``environment`` names."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Open a socket, if there is somebody to tell."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket:
            self._socket.setblocking(False)
        for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        interval = environment.get("WATCHDOG_USEC", "") if for_us else ""
        self.watchdog = int(interval) / 2e6 if interval.isdecimal() else 0.0
        """Seconds between two signs of life; 0 when nobody waits for them."""

    def ready(self) -> None:
        """All doors are open."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A new configuration is being tried."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The doors are being closed."""
        self._send("STOPPING=1")

    async def live(self) -> None:
        """Give signs of life until cancelled."""
        while self.watchdog:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog)

    def close(self) -> None:
        """Say no more."""
        if self._socket:
            self._socket.close()

    def _send(self, message: str) -> None:
        if self._socket:
            with suppress(OSError):  # a manager that doesn't listen is no reason to stop
                self._socket.sendto(message.encode(), self._address)
