"""A real ``check-user serve`` over a SQLite directory, followed by what it tells systemd."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from check_user.directory.sql import create_sample

KEYS = {
    "driver": "sqlite",
    "email_table": "emailtable",
    "email_user": "local_part",
    "email_domain": "domain",
    "email_enabled": "is_enabled",
    "email_enabled_value": "yes",
    "domain_table": "domaintable",
    "domain_domain": "domain",
}


def configure(folder: Path, *listen: str, **changes: str) -> Path:
    """Write a configuration for the sample database in ``folder``; make that if need be."""
    database = folder / "accounts.sqlite"
    if not database.exists():
        asyncio.run(create_sample(database))
    keys = {**KEYS, "database": str(database), **changes}
    doors = listen or (f"line unix:{folder}/line.sock",)
    lines = [f"{key}={value}" for key, value in keys.items()]
    lines += [f"listen={door}" for door in doors]
    file = folder / "check_user.conf"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Serving:
    """One process. Entering waits until it is ready, leaving ends it by SIGTERM."""

    def __init__(
        self,
        folder: Path,
        file: Path,
        *,
        stderr: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.log = folder / "log"
        self._stderr = stderr
        self.command = [sys.executable, "-m", "check_user", "serve", "--config", str(file)]
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = folder / "notify"
        path.unlink(missing_ok=True)
        self._notify.bind(str(path))
        self._notify.settimeout(20)
        self._environment = {**os.environ, "NOTIFY_SOCKET": str(path), **(environment or {})}

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stderr=log if self._stderr is None else self._stderr,
                env=self._environment,
            )
        self.until("READY=1")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._notify.close()
        assert error is not None or code == 0, self.log.read_text()

    def until(self, state: str) -> str:
        """Wait until the process tells systemd ``state``; give the whole datagram."""
        while True:
            told = self._notify.recv(4096).decode()
            if state in told.split("\n"):
                return told

    def reload(self) -> None:
        """Send SIGHUP and wait until it is done, whatever came of it."""
        self.process.send_signal(signal.SIGHUP)
        while "RELOADING=1" not in self._notify.recv(4096).decode():
            pass
        self.until("READY=1")

    def logged(self, word: str) -> list[str]:
        """The messages in the log, so far, that have ``word`` in them."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line["message"] for line in lines if word in line.get("message", "")]


class Line:
    """A client of the ``line`` door."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(path))
        self._answers = self._socket.makefile("rb")

    def send(self, address: str) -> None:
        self._socket.sendall(address.encode() + b"\n")

    def answer(self) -> str:
        return self._answers.readline().decode().rstrip("\n")

    def ask(self, address: str) -> str:
        self.send(address)
        return self.answer()

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def resident(pid: int) -> int:
    """Octets of memory that the process has in use now (VmRSS, proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(pid)
