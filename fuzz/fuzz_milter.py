"""Fuzz the milter codec; the rules are in ``codec.py``.

fuzz/fuzz_milter.py [-runs=N] [libFuzzer's options] [FOLDER]
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user.protocols.milter import MilterCodec

sys.path.append(str(Path(__file__).parents[1]))  # run as a program, it finds only its own folder
from fuzz.codec import fuzz

ANSWER = (
    rb"\0\0\0\x01c|\0\0\0\x0dO\0\0\0[\x02-\x06]\0{6}.."
    rb"|\0\0[\0\x01].y[45][0-9]{2} [45]\.[0-9]\.[0-9] [ -~]+\0"
)

if __name__ == "__main__":
    fuzz("milter", MilterCodec, ANSWER)
