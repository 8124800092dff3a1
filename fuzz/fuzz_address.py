"""Fuzz the address parser: no text raises, keys are stable, and the time is bounded.

    fuzz/fuzz_address.py [-runs=N] [libFuzzer's options] [FOLDER]

The seeds in ``corpus/address`` are only read. A folder among the options keeps what is found.
"""

import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user import address

SEEDS = Path(__file__).parent / "corpus" / "address"

SECONDS = 0.1
"""Of processor time for all that is done with one text: twenty times the goal for parsing it,
since the code is instrumented and each law parses again."""


def check_laws(text: str) -> None:
    found = address.parse(text)
    if isinstance(found, address.Malformed):
        assert str(found).isascii()
        assert str(found).isprintable()
        return
    assert address.parse(found.key) == found
    assert len(found.key.encode()) <= 254
    reply = found.for_reply()
    assert reply.isascii()
    assert reply.isprintable()
    assert len(reply) <= 414
    if isinstance(found, address.Address):
        check_address(found)


def check_address(found: address.Address) -> None:
    assert address.canonical(found.key) == found.key
    local = found.key.removesuffix(f"@{found.domain.key}")
    assert address.canonical_pair(local, found.domain.key) == found.key
    for spellings in (found.spellings, found.folded_spellings):
        assert spellings[0] == (found.local, found.domain.key)
        assert len(spellings) == len(set(spellings)) <= 24
    for name in found.domain.spellings:
        assert len(name) > 254 or address.canonical_domain(name) == found.domain.key
    for base in found.without_extension("+-"):
        assert address.parse(base.key) == base


def check_stored(text: str) -> None:
    for key in (address.canonical(text), address.canonical_pair(text, "x.example")):
        assert key is None or address.canonical(key) == key
    domain = address.canonical_domain(text)
    assert domain is None or address.canonical_domain(domain) == domain


def test_one_input(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    start = time.process_time()
    check_laws(text)
    check_stored(text)
    assert time.process_time() - start < SECONDS


def main() -> None:
    seeds = ",".join(map(str, sorted(SEEDS.iterdir())))
    options = ["-max_len=512", "-len_control=0", f"-seed_inputs={seeds}"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
