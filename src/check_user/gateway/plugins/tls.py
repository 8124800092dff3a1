"""``tls CERT KEY``: STARTTLS is offered, with this certificate.

    tls ssl/server.crt ssl/server.key

Both are PEM files; a relative path starts in the folder of the configuration. The chain follows the
certificate in CERT; KEY has no passphrase, since nobody is there to type it. TLS 1.2 at least. A
new certificate needs a reload.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from check_user.gateway.plugins import Configured, Site


class Tls:
    """The plugin. ``context`` is for the server's side of a connection."""

    def __init__(self, configured: Configured, site: Site) -> None:
        """Load the certificate. Raises GatewayError."""
        if len(configured.arguments) != 2:
            raise configured.error("wants two files, 'tls CERT KEY'")
        certificate, key = (site.folder / each for each in configured.arguments)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            for file in (certificate, key):
                _require_readable(file)
            self.context.load_cert_chain(certificate, key, password=_no_passphrase)
        except ssl.SSLError as error:
            reason = (error.reason or "not a PEM file").replace("_", " ").lower()
            raise configured.error(f"{certificate} and {key}: {reason}") from None
        except OSError as error:
            raise configured.error(f"{error.filename}: {error.strerror}") from None


def _require_readable(file: Path) -> None:
    """Raise OSError, with the file's name; OpenSSL's own error has none."""
    with file.open("rb"):
        pass


def _no_passphrase() -> str:
    """Answer instead of a prompt on the terminal."""
    return ""
