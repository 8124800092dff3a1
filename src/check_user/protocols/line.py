"""The ``line`` door: the plain form (``plain``), kept open. Our own protocol, for plugins.

    > anna@example.org
    < DECLINED known
    > nobody@example.org
    < DENY Address 'nobody@example.org' doesn't exist on this server

Questions may be sent ahead; answers keep their order.
"""

from __future__ import annotations

from check_user.protocols.plain import PlainCodec


class LineCodec(PlainCodec):
    """One connection of the ``line`` door."""

    __slots__ = ()
