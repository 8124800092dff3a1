"""Fuzz the socketmap codec: ``fuzz/fuzz_socketmap.py [-runs=N] [libFuzzer's options] [FOLDER]``.

The rules are in ``codec.py``.
"""

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user.protocols.socketmap import REQUEST_LIMIT, SocketmapCodec

from codec import Target, fuzz

TARGET = Target(
    SocketmapCodec,
    rb"[0-9]+:(?:OK .+|NOTFOUND |TEMP [ -~]+),",
    bound=REQUEST_LIMIT + 8,
)

if __name__ == "__main__":
    fuzz("socketmap", TARGET)
