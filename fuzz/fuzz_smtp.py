"""Fuzz the SMTP codec: any octets, cut anywhere, answered at once or late.

fuzz/fuzz_smtp.py [-runs=N] [libFuzzer's options] [FOLDER]

The first two octets of an input say where it is cut, the third whether there is a certificate and
whether recipients are answered late; the rest is what a client sends. The rules are those of
``tests.protocols.smtp_door``, and that cut or whole, a session is the same: the same questions and
replies. Two things depend on when octets come, and only they may: what is sent along with a DATA
that is refused, and with STARTTLS. And at the end of a session: when there were too many unknown
recipients, some more may have been asked about in vain; and of two reasons to refuse a message the
one or the other may be said.
"""

import re
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["check_user"]):
    import check_user.protocols.smtp.server  # noqa: F401 - so that it is instrumented

sys.path.append(str(Path(__file__).parents[1]))  # run as a program, it finds only its own folder
from check_user.protocols.smtp.limits import SmtpLimits
from tests.protocols.smtp_door import SmtpDoor, codec

SEEDS = Path(__file__).parent / "corpus" / "smtp"
LIMITS = SmtpLimits(recipients=3, errors=5, unknown=4, useless=6, commands=30, message=60)
DEPENDS_ON_TIME = re.compile(rb"You didn't wait|Octets came|Ready to start TLS")
LAST_REFUSAL = re.compile(rb"55[02] (?:5\.3\.4|5\.6\.11) [ -~]+\r\n\Z")
ABANDONED = re.compile(r"\ncontent .*\nabandon")


def play(parts: list[bytes], *, tls: bool, late: bool) -> tuple[bytes, str, list[bytes]]:
    """A session from its greeting to its end."""
    door = SmtpDoor(codec(limits=LIMITS, tls=tls), late=late)
    for part in filter(None, parts[:-1]):
        door.feed(part)
    door.feed(parts[-1], ends=True)
    assert door.closed
    assert not door.error
    return (
        LAST_REFUSAL.sub(b"refused", door.sent),
        ABANDONED.sub("\nabandon", "\n".join(door.said)),
        door.messages,
    )


def test_one_input(data: bytes) -> None:
    session = data[3:]
    cut = int.from_bytes(data[:2], "big") % (len(session) + 1)
    tls, late = bool(data[2:3] > b"\x7f"), bool(data[2:3] < b"\x40")
    whole = play([session], tls=tls, late=late)
    parted = play([session[:cut], session[cut:]], tls=tls, late=not late)
    if not DEPENDS_ON_TIME.search(whole[0]):
        assert parted[::2] == whole[::2]
        assert parted[1] == whole[1] or b"Too many unknown" in whole[0]


if __name__ == "__main__":
    seeds = ",".join(map(str, sorted(SEEDS.iterdir())))
    options = ["-max_len=1024", "-len_control=0", f"-seed_inputs={seeds}"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], test_one_input)
    atheris.Fuzz()
