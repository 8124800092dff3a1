"""Lines that smtpd might send a filter, and many that it never would; and what each must get.

Who asks, and by which names, is told here without the codec's own means.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator

ANSWER = re.compile(
    rb"filter-result\|([0-9A-Fa-f]{1,16}\|[0-9A-Fa-f]{1,16})"
    rb"\|(?:proceed|reject\|(?:550 5\.1\.1|553 5\.1\.3|451 4\.4\.3) [ -~]{1,460})"
)
REGISTRATION = [b"register|filter|smtp-in|rcpt-to", b"register|ready"]

HEX = b"0123456789abcdefABCDEF"
ADDRESSES = [
    *(b"anna@example.org", b"nobody@example.org", b"x@example.net", b"fault@example.org", b""),
    *(b"a|b@example.org", b'"john doe"@example.org', b"postmaster", b"<anna@example.org>", b"|"),
    *(b"a..b@example.org", b"a\xff@example.org", b"a\0b@example.org\r", b"x" * 1500, b"||||"),
]
PHASES = [*[b"rcpt-to"] * 6, b"connect", b"mail-from", b"data-line", b"commit", b"", b"\xff"]
OTHERS = [
    *(b"", b"filter", b"filter|", b"config|ready", b"register|ready", b"|||||||", b"\xff\0"),
    *(b"report|0.7|1.0|smtp-in|link-connect|a1||pass|192.0.2.1:1|192.0.2.2:25", b"QUIT\r"),
    *(b"filter-result|a1|b1|proceed", b"config|smtpd-version|7.8.0", b"filter-dataline|a1|b1|."),
]


def lines(seed: int, count: int) -> Iterator[bytes]:
    """``count`` lines, each with its end; the same ones for the same seed."""
    dice = random.Random(seed)
    for _ in range(count):
        kind = dice.random()
        if kind < 0.6:
            line = _question(dice)
        elif kind < 0.75:
            line = _damaged(_question(dice), dice)
        elif kind < 0.9:
            line = dice.choice(OTHERS)
        else:
            line = dice.randbytes(dice.randrange(80)).replace(b"\n", b"|")
        yield line + b"\n"


def _damaged(line: bytes, dice: random.Random) -> bytes:
    octets = bytearray(line)
    for _ in range(dice.randint(1, 3)):
        octets[dice.randrange(len(octets))] = dice.choice(b"|\r\0 f0.\xffg")
    return bytes(octets)


def _question(dice: random.Random) -> bytes:
    session, token = (
        bytes(dice.choices(HEX, k=dice.choice((16, 16, 16, 16, 1, 15, 17, 0)))) for _ in range(2)
    )
    return b"filter|%b|%b|%b|%b|%b|%b|%b" % (
        dice.choice((b"0.1", b"0.4", b"0.5", b"0.6", b"0.7", b"0.7", b"1.12", b"")),
        dice.choice((b"1576146008.006099", b"")),
        dice.choice((b"smtp-in", b"smtp-in", b"smtp-in", b"smtp-out")),
        dice.choice(PHASES),
        session,
        token,
        dice.choice(ADDRESSES),
    )


def expected(asked: Iterable[bytes]) -> Counter[bytes]:
    """The names by which answers must come, each as often as it was asked for."""
    return Counter(name for line in asked if (name := _name(line)))


def _name(line: bytes) -> bytes:
    fields = line.removesuffix(b"\n").split(b"|")
    if fields[0] != b"filter" or len(fields) < 7:
        return b""
    version, session, token = fields[1], fields[5], fields[6]
    for each in (session, token):
        if not 1 <= len(each) <= 16 or each.strip(HEX):
            return b""
    if version in (b"0.0", b"0.1", b"0.2", b"0.3", b"0.4"):
        return token + b"|" + session
    return session + b"|" + token


def given(answers: Iterable[bytes]) -> Counter[bytes]:
    """The names in the answers, without their ends. Fails for a line that smtpd wouldn't take."""
    names: Counter[bytes] = Counter()
    for line in answers:
        answer = ANSWER.fullmatch(line)
        assert answer, line
        names[answer[1]] += 1
    return names
