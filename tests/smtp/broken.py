"""check_user with a plugin that fails: ``python -m tests.smtp.broken serve --config FILE``.

The plugin's line is ``broken``; it raises for the recipient ``raise``, at once, and for
``raise-later`` after it has waited. For a service of one process.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable

from check_user.cli import main
from check_user.gateway.chain import PLUGINS
from check_user.gateway.delivery import Transaction
from check_user.gateway.plugins import DECLINED, Configured, Decision, Site
from check_user.protocols.smtp import Recipient

SECRET = "db password=hunter2"


class Broken:
    """The plugin."""

    def __init__(self, configured: Configured, site: Site) -> None:
        configured.require_none()

    def hook_rcpt(
        self, transaction: Transaction, recipient: Recipient
    ) -> Decision | Awaitable[Decision]:
        if recipient.text.startswith("<raise@"):
            raise RuntimeError(SECRET)
        return fail() if recipient.text.startswith("<raise-later@") else DECLINED


async def fail() -> Decision:
    await asyncio.sleep(0)
    raise RuntimeError(SECRET)


if __name__ == "__main__":
    PLUGINS["broken"] = Broken
    sys.exit(main())
