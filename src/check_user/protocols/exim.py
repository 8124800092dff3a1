"""The ``exim`` door: one question in the plain form (``plain``), its answer, and the end.

That is what Exim's ``readsocket`` does (spec, "Expansion items"): it connects, sends the request,
ends its half of the connection (unless ``shutdown=no`` tells it not to), and reads until the other
half ends.

    > anna@example.org
    >.
    < DECLINED known
    <.

The request must end with a LF, ``${readsocket{PATH}{$local_part@$domain\\n}}``: without it, it is
half a question, and gets no answer. What comes after the first line is ignored.

Exim takes a peer that closes without a word for one that answers with nothing, which is no failure
to it: an ACL must look for DECLINED, DENY and DENYSOFT, and defer when it finds none of them.
"""

from __future__ import annotations

from check_user.protocols import Lookup
from check_user.protocols.plain import PlainCodec


class EximCodec(PlainCodec):
    """One connection of the ``exim`` door."""

    __slots__ = ()

    def _take(self) -> Lookup | None:
        question = super()._take()
        if question is not None:
            self._forget()
            self._ended = True
        return question
