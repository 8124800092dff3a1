"""Fuzz the line codec: ``fuzz/fuzz_line.py [-runs=N] [libFuzzer's options] [FOLDER]``.

The rules are in ``codec.py``.
"""

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user.protocols.line import LINE_LIMIT, LineCodec

from codec import Target, fuzz

TARGET = Target(
    LineCodec,
    rb"(?:DECLINED (?:known|foreign)|DENY(?:SOFT)? [ -~]+)\n",
    bound=LINE_LIMIT + 1,
)

if __name__ == "__main__":
    fuzz("line", TARGET)
