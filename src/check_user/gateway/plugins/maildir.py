"""``queue/maildir PATH``: mail is put into one folder, a file a message.

    queue/maildir /var/spool/check_user/mail

The folder, with ``tmp``, ``new`` and ``cur``, is made at start, for our account alone; where that
fails, or nothing can be written there, the gateway doesn't start. qpsmtpd's further arguments (a
subfolder for each recipient, a mode) aren't there.
"""

from __future__ import annotations

from check_user.gateway.delivery import Delivery
from check_user.gateway.maildir import Maildir
from check_user.gateway.plugins import Configured, Site
from check_user.protocols.smtp.extensions import Extensions

TAKES = Extensions(size=0, eight_bit=True, utf8=True, chunking=True, pipelining=True)
"""A file holds anything; who would send a delivery notification isn't there."""


class QueueMaildir:
    """The plugin."""

    def __init__(self, configured: Configured, site: Site) -> None:
        """Raises GatewayError."""
        if len(configured.arguments) != 1:
            raise configured.error("wants one folder, 'queue/maildir PATH'")
        self._configured = configured
        self.maildir = Maildir(
            site.folder / configured.arguments[0], site.me, site.timeouts, site.report
        )

    @property
    def extensions(self) -> Extensions:
        """Everything but DSN."""
        return TAKES

    async def start(self) -> None:
        """Make the folders. Raises GatewayError."""
        try:
            await self.maildir.prepare()
        except OSError as error:
            raise self._configured.error(f"{error.filename}: {error.strerror}") from None

    async def examine(self) -> str:
        """Look at the folder; say why nothing could be written there."""
        try:
            await self.maildir.examine()
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return ""

    def hook_queue(self) -> Delivery:
        """Give a client's way into the folder."""
        return self.maildir.delivery()

    async def aclose(self) -> None:
        """End the threads."""
        self.maildir.close()
