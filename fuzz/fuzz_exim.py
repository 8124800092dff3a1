"""Fuzz the exim codec; the rules are in ``codec.py``.

fuzz/fuzz_exim.py [-runs=N] [libFuzzer's options] [FOLDER]
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user.protocols.exim import EximCodec

sys.path.append(str(Path(__file__).parents[1]))  # run as a program, it finds only its own folder
from fuzz.codec import fuzz

ANSWER = rb"(?:DECLINED (?:known|foreign)|DENY(?:SOFT)? [ -~]+)\n"

if __name__ == "__main__":
    fuzz("exim", EximCodec, ANSWER)
