"""``check_user``: says no to recipients who aren't there, and nothing to all others, as in 2007.

    check_user

It hands the recipient's text on, and writes the verdict down; it never says OK, so ``rcpt_ok`` must
come after it.
"""

from __future__ import annotations

from collections.abc import Awaitable

from check_user.gateway.delivery import Transaction
from check_user.gateway.plugins import DECLINED, Code, Configured, Decision, Site
from check_user.protocols import Lookup, one_line
from check_user.protocols.smtp import Recipient, Reply
from check_user.verdict import Action, Verdict


class CheckUser:
    """The plugin."""

    def __init__(self, configured: Configured, site: Site) -> None:
        """Raises GatewayError."""
        configured.require_none()
        self._decide = site.decide

    def hook_rcpt(
        self, transaction: Transaction, recipient: Recipient
    ) -> Decision | Awaitable[Decision]:
        """Ask for the verdict."""
        verdict = self._decide(Lookup(recipient.text, client=recipient.client))
        return _decision(verdict) if isinstance(verdict, Verdict) else _later(verdict)


async def _later(verdict: Awaitable[Verdict]) -> Decision:
    return _decision(await verdict)


def _decision(verdict: Verdict) -> Decision:
    if verdict.action is Action.DECLINED:
        return DECLINED
    code = Code.DENY if verdict.action is Action.DENY else Code.DENYSOFT
    return Decision(code, Reply(verdict.code, verdict.enhanced, (one_line(verdict.text),)))
