"""Fuzz the PROXY header's parser.

fuzz/fuzz_proxy.py [-runs=N] [libFuzzer's options] [FOLDER]

For any octets it gives a header, asks for more or raises ProtocolError; what it says of a beginning
it says of the whole; its client is an address or none.
"""

import sys
from ipaddress import ip_address
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user.protocols import ProtocolError
    from check_user.protocols.proxy import HEADER_LIMIT, Header, read_header

SEEDS = Path(__file__).parent / "corpus" / "proxy"


def read(data: bytes) -> Header | str | None:
    try:
        return read_header(data)
    except ProtocolError as error:
        return str(error)


def test_one_input(data: bytes) -> None:
    octets = data[2:]
    cut = int.from_bytes(data[:2], "big") % (len(octets) + 1)
    whole = read(octets)
    assert read(octets[:cut]) in (None, whole)
    if isinstance(whole, Header):
        assert 0 < whole.octets <= min(len(octets), HEADER_LIMIT)
        assert not whole.client or str(ip_address(whole.client)) == whole.client
        assert read(octets[: whole.octets]) == whole
        assert read(octets[: whole.octets - 1]) is None
    elif isinstance(whole, str):
        assert whole.isprintable()
    else:
        assert len(octets) < HEADER_LIMIT


if __name__ == "__main__":
    seeds = ",".join(map(str, sorted(SEEDS.iterdir())))
    options = ["-max_len=512", "-len_control=0", f"-seed_inputs={seeds}"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], test_one_input)
    atheris.Fuzz()
