"""Fuzz the policy codec; the rules are in ``codec.py``.

fuzz/fuzz_policy.py [-runs=N] [libFuzzer's options] [FOLDER]
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user.protocols.policy import PolicyCodec

sys.path.append(str(Path(__file__).parents[1]))  # run as a program, it finds only its own folder
from fuzz.codec import fuzz

ANSWER = rb"action=(?:DUNNO|[45][0-9][0-9] [45]\.[0-9]\.[0-9] [ -~]+)\n\n"

if __name__ == "__main__":
    fuzz("policy", PolicyCodec, ANSWER)
