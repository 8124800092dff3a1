"""Certificates for tests, made by the ``openssl`` command in a folder of the test's."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers.database import Tls
from tests.peers.process import program


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in a folder, by the ``openssl`` command."""

    folder: Path
    name: str

    @property
    def cert(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @property
    def key(self) -> Path:
        return self.folder / f"{self.name}.key"

    def found(self) -> Authority:
        """Make the authority's own certificate."""
        openssl("req", "-x509", *self.new_key(self.key), "-out", self.cert, "-days", "1")
        return self

    def issue(self, name: str, subject: str, *, days: int = 1) -> Tls:
        """A certificate for ``subject`` (``IP:...``, ``DNS:...``), long over if ``days`` < 0."""
        cert, key, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        openssl("req", *self.new_key(key), "-out", request, "-addext", f"subjectAltName={subject}")
        openssl(
            *("x509", "-req", "-in", request, "-out", cert, "-copy_extensions", "copy"),
            *("-CA", self.cert, "-CAkey", self.key, "-days", str(days)),
        )
        return Tls(cert, key)

    def new_key(self, path: Path) -> tuple[str | Path, ...]:
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        return (*kind, "-nodes", "-keyout", path, "-subj", f"/CN={path.stem}")


def openssl(*arguments: str | Path) -> None:
    subprocess.run([program("openssl", "openssl"), *arguments], check=True, capture_output=True)
