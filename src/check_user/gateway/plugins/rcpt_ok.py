"""``rcpt_ok``: which domains mail is taken for at all, and who may send to all others (relaying).

    rcpt_ok

OK for a domain of ``rcpthosts`` or ``me``, for the name ``postmaster`` without a domain (RFC 5321
4.5.1), and for whatever a client of ``relayclients`` names; DENY for all others, as in qpsmtpd.

The domain is what follows the last ``@``, canonicalised as everywhere (:func:`parse_domain`), so
that A-labels and U-labels are one. That is enough: no domain has an ``@`` in it, and whether the
address as a whole is one, ``check_user`` has said before; it is not parsed a second time here.
"""

from __future__ import annotations

from check_user.address import Malformed, parse_domain
from check_user.gateway.delivery import Transaction
from check_user.gateway.files import RcptHosts, RelayClients
from check_user.gateway.plugins import OK, Code, Configured, Decision, Site
from check_user.protocols.smtp import Recipient, Reply

RELAYING_DENIED = Decision(Code.DENY, Reply(550, "5.7.1", ("Relaying denied",)))


class RcptOk:
    """The plugin."""

    def __init__(self, configured: Configured, site: Site) -> None:
        """Read the lists. Raises GatewayError."""
        configured.require_none()
        self._ours = RcptHosts(site.folder, site.me)
        self._relaying = RelayClients(site.folder)

    def hook_rcpt(self, transaction: Transaction, recipient: Recipient) -> Decision:
        """Decide by the domain, then by the client."""
        _, at, domain = _without_brackets(recipient.text).rpartition("@")
        is_ours = self._has(domain) if at else domain.lower() == "postmaster"
        return OK if is_ours or recipient.client in self._relaying else RELAYING_DENIED

    def _has(self, written: str) -> bool:
        if written in self._ours:
            return True
        domain = parse_domain(written)
        return not isinstance(domain, Malformed) and domain.key in self._ours


def _without_brackets(path: str) -> str:
    return path[1:-1] if path.startswith("<") and path.endswith(">") else path
