"""Fuzz the OpenSMTPD codec; the rules are in ``codec.py``.

fuzz/fuzz_opensmtpd.py [-runs=N] [libFuzzer's options] [FOLDER]
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user.protocols.opensmtpd import OpenSMTPDCodec

sys.path.append(str(Path(__file__).parents[1]))  # run as a program, it finds only its own folder
from fuzz.codec import fuzz

ANSWER = (
    rb"register\|filter\|smtp-in\|rcpt-to\nregister\|ready\n"
    rb"|filter-result\|[0-9A-Fa-f]{1,16}\|[0-9A-Fa-f]{1,16}\|"
    rb"(?:proceed|reject\|[45][0-9]{2} [45]\.[0-9]\.[0-9] [ -~]+)\n"
)

if __name__ == "__main__":
    fuzz("opensmtpd", OpenSMTPDCodec, ANSWER)
