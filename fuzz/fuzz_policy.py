"""Fuzz the policy codec: ``fuzz/fuzz_policy.py [-runs=N] [libFuzzer's options] [FOLDER]``.

The rules are in ``codec.py``.
"""

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user.protocols.policy import REQUEST_LIMIT, PolicyCodec

from codec import Target, fuzz

TARGET = Target(
    PolicyCodec,
    rb"action=(?:DUNNO|[45][0-9][0-9] [45]\.[0-9]\.[0-9] [ -~]+)\n\n",
    bound=REQUEST_LIMIT + 1,
)

if __name__ == "__main__":
    fuzz("policy", TARGET)
