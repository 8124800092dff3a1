"""What the tests of every codec share: who is there, and a door without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from check_user import verdict
from check_user.address import Malformed, Unqualified, parse, parse_domain
from check_user.protocols import Codec, Kind, Lookup, Mark, Output, ProtocolError
from check_user.protocols.exim import EximCodec
from check_user.protocols.line import LineCodec
from check_user.protocols.milter import MilterCodec
from check_user.protocols.opensmtpd import OpenSMTPDCodec
from check_user.protocols.policy import PolicyCodec
from check_user.protocols.socketmap import SocketmapCodec
from check_user.protocols.tcp_table import TcpTableCodec
from check_user.verdict import Verdict

CODECS: dict[str, Callable[[], Codec]] = {
    "policy": PolicyCodec,
    "socketmap": SocketmapCodec,
    "line": LineCodec,
    "tcp_table": TcpTableCodec,
    "exim": EximCodec,
    "milter": MilterCodec,
    "opensmtpd": OpenSMTPDCodec,
}

REQUESTS: dict[str, bytes] = {
    "policy": b"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=%b\n\n",
    "socketmap": b"%d:recipients %b,",
    "line": b"%b\n",
    "tcp_table": b"get %b\n",
    "exim": b"%b\n",
    "milter": b"R%b\0",
    "opensmtpd": b"filter|0.7|1.0|smtp-in|rcpt-to|7641df9771b4ed00|1ef1c203cc576e5d|%b\n",
}

NEGOTIATION = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff"
"""What a milter client (Sendmail 8.17) says first."""


def request(protocol: str, address: bytes) -> bytes:
    """A request about ``address``."""
    if protocol == "socketmap":
        return REQUESTS[protocol] % (len(address) + len("recipients "), address)
    if protocol == "milter":
        return packet(REQUESTS[protocol] % address)
    return REQUESTS[protocol] % address


def packet(content: bytes) -> bytes:
    """A milter packet."""
    return len(content).to_bytes(4, "big") + content


def opened(protocol: str) -> Codec:
    """A codec that has come to the point where its client may ask."""
    codec = CODECS[protocol]()
    if protocol == "milter":
        codec.feed(NEGOTIATION)
        codec.next_event()
    return codec


def decide(lookup: Lookup) -> Verdict:
    """Tell who is there: as in tests/dialogs/README.md."""
    if lookup.kind is Kind.DOMAIN:
        return _domain(lookup.text)
    address = parse(lookup.text)
    if isinstance(address, Malformed):
        return verdict.MALFORMED
    if isinstance(address, Unqualified):
        say = verdict.known if address.is_postmaster else verdict.foreign
        return say(address.for_reply())
    if address.key == "fault@example.org":
        return verdict.FAULT
    if address.key in ("anna@example.org", '"john doe"@example.org'):
        return verdict.known(address.for_reply())
    say = verdict.unknown if address.domain.key == "example.org" else verdict.foreign
    return say(address.for_reply())


def _domain(text: str) -> Verdict:
    if text == "fault.example":
        return verdict.FAULT
    if isinstance(parse_domain(text), Malformed):
        return verdict.MALFORMED
    return verdict.known(text) if text == "example.org" else verdict.foreign(text)


@dataclass
class Door:
    """A codec and ``decide``: what one client sees of a door."""

    codec: Codec
    sent: bytes = b""
    lookups: list[Lookup] = field(default_factory=list)
    error: str = ""
    closed: bool = False

    def feed(self, data: bytes) -> None:
        """Send octets (``b""``: the end), and take every answer."""
        self.codec.feed(data)
        while not self.closed:
            try:
                event = self.codec.next_event()
            except ProtocolError as error:
                self.error = str(error)
                continue
            if isinstance(event, Lookup):
                self.lookups.append(event)
                self.sent += self.codec.answer(event, decide(event))
            elif isinstance(event, Output):
                self.sent += event.data
            elif event is Mark.CLOSE:
                self.closed = True
            else:
                return


def play(protocol: str, parts: Iterable[bytes]) -> Door:
    """Open a door, send it the parts, and show it."""
    door = Door(opened(protocol))
    for part in parts:
        door.feed(part)
    return door
