"""Fuzz the tcp_table codec; the rules are in ``codec.py``.

fuzz/fuzz_tcp_table.py [-runs=N] [libFuzzer's options] [FOLDER]
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user.protocols.tcp_table import TcpTableCodec

sys.path.append(str(Path(__file__).parents[1]))  # run as a program, it finds only its own folder
from fuzz.codec import fuzz

ANSWER = rb"(?:200 [!-~]*|500 |400 [ -~]+)\n"

if __name__ == "__main__":
    fuzz("tcp_table", TcpTableCodec, ANSWER)
