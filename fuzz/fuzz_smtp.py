"""Fuzz the SMTP codec: any octets, cut anywhere, answered at once or late.

fuzz/fuzz_smtp.py [-runs=N] [libFuzzer's options] [FOLDER]

The first two octets of an input say where it is cut, the third whether there is a certificate and
whether recipients are answered late; the rest is what a client sends. The rules are those of
``tests.protocols.smtp_door``, and that cut or whole, a session is the same: the same questions and
replies. Two things depend on when octets come, and only they may: those sent along with a DATA that
is refused, and with STARTTLS.
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
ABANDONED = re.compile(r"\ncontent .*\nabandon")


def play(parts: list[bytes], *, tls: bool, late: bool) -> tuple[bytes, str, list[bytes]]:
    """A session from its greeting to its end."""
    door = SmtpDoor(codec(limits=LIMITS, tls=tls), late=late)
    for part in [*(part for part in parts if part), b""]:
        door.feed(part)
    assert door.closed
    assert not door.error
    return door.sent, ABANDONED.sub("\nabandon", "\n".join(door.said)), door.messages


def test_one_input(data: bytes) -> None:
    session = data[3:]
    cut = int.from_bytes(data[:2], "big") % (len(session) + 1)
    tls, late = bool(data[2:3] > b"\x7f"), bool(data[2:3] < b"\x40")
    whole = play([session], tls=tls, late=late)
    parted = play([session[:cut], session[cut:]], tls=tls, late=not late)
    if not DEPENDS_ON_TIME.search(whole[0]):
        assert parted == whole


if __name__ == "__main__":
    seeds = ",".join(map(str, sorted(SEEDS.iterdir())))
    options = ["-max_len=1024", "-len_control=0", f"-seed_inputs={seeds}"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], test_one_input)
    atheris.Fuzz()
