"""The address: laws over every text, and a bound on the work for any."""

import gc
import sys
from collections.abc import Callable
from functools import partial
from string import ascii_uppercase
from unicodedata import combining, is_normalized, normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.address import (
    Address,
    Malformed,
    Unqualified,
    canonical,
    canonical_domain,
    canonical_pair,
    parse,
    parse_domain,
)
from check_user.address.text import KEPT, fold

PIECES = [
    *'abKxz09.@"\\<>[]:;,+-_ ()\0\n',
    *("é", "e\u0301", "E\u0301", "\u0331", "\u0338", "\u212a", "\u037e", "ß", "א", "。", "\udcff"),
    *("xn--", "bcher-kva", "IPv6:", "::1", "127.0.0.1", "@x.example", '"@', "b" * 60),
]
ANY = st.text(st.characters(exclude_categories=()))
PATHS = st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | ANY
LOCALS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=10)

UNICODE = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]

HOSTILE = [
    "(",
    "a",
    "é",
    "a@",
    "a.",
    '"\\',
    '"',
    "<",
    "<@a,",
    "@a,",
    "@[",
    "xn--",
    "\u0301",
    "\udcff",
]

SLOWEST = [
    "a@" + "é." * 83 + "x",
    "a@" + "漢." * 62 + "x",
    "a@" + "・" * 62 + "漢",
    "a@" + "・" * 40 + "漢." + "・" * 30 + "漢",
    "a@" + ("ا" + "\u0660" * 61 + ".") * 2,
    "a@\u0628" + "\u200c\u0628" * 30,
    "a@" + "xn--9ca." * 31 + "x",
    "@" + "é." * 50 + "x,@" + "é." * 30 + "x:a@b",
    '"' + "\\" * 251 + '"@',
]


def calls(function: Callable[[], object]) -> int:
    """Count the calls, in Python and into C, that ``function`` makes.

    The garbage collector waits: its callbacks (hypothesis has one) would be counted too.
    """
    count = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@given(PATHS)
def test_every_text_is_one_of_three(text: str) -> None:
    """No text raises; what isn't an address says why in one short line of printable ASCII."""
    found = parse(text)
    assert isinstance(found, Address | Unqualified | Malformed)
    for refused in (found, parse_domain(text)):
        if isinstance(refused, Malformed):
            assert 0 < len(str(refused)) < 60
            assert str(refused).isascii()
            assert str(refused).isprintable()
    assert canonical_pair(text, text) is None or canonical_domain(text) is not None


@given(PATHS)
def test_the_key_of_a_key_is_itself(text: str) -> None:
    """A key is valid, within the limits, printed in ASCII, and leads to itself by every door."""
    found = parse(text)
    if isinstance(found, Malformed):
        return
    assert parse(found.key) == found
    assert parse(f"<{found.key}>") == found
    assert hash(parse(found.key)) == hash(found)
    assert len(found.key.encode()) <= 254
    assert found.for_reply().isascii()
    assert found.for_reply().isprintable()
    if isinstance(found, Address):
        written = found.key.removesuffix(f"@{found.domain.key}")
        assert canonical(found.key) == canonical_pair(written, found.domain.key) == found.key


@given(PATHS)
def test_keeping_case_tells_no_more_than_case(text: str) -> None:
    """With case kept a text is an address where it is one without, its key is stable, folds to the
    other, and the same rows are candidates where a column was folded."""
    folded, exact = parse(text), parse(text, keeps_case=True)
    assert type(folded) is type(exact)
    if isinstance(folded, Address) and isinstance(exact, Address):
        assert parse(exact.key, keeps_case=True) == exact
        assert canonical(exact.key, keeps_case=True) == exact.key
        assert canonical(exact.key) == folded.key
        assert set(exact.folded_spellings) == set(folded.folded_spellings)


@given(LOCALS, st.sampled_from(["x.example", "bücher.example"]))
def test_every_content_of_a_local_part_can_be_asked_for(content: str, name: str) -> None:
    """Quoted and escaped in any way, a content has one key, which keeps what it says."""
    escaped = "".join(f"\\{c}" if c in '"\\' else c for c in content)
    eager = "".join(f"\\{c}" if " " <= c <= "~" else c for c in content)
    found, again = parse(f'"{escaped}"@{name}'), parse(f'"{eager}"@{name}')
    if isinstance(found, Address) and isinstance(again, Address):
        assert found == again
        assert found.local == fold(content)
        assert found.as_given == again.as_given == (content, name)


@given(PATHS)
def test_spellings_are_few_distinct_and_canonical_first(text: str) -> None:
    """At most 24 pairs; every domain among them is the domain, and folded ones are folded."""
    found = parse(text)
    if not isinstance(found, Address):
        return
    for spellings in (found.spellings, found.folded_spellings):
        assert spellings[0] == (found.local, found.domain.key)
        assert len(spellings) == len(set(spellings)) <= 24
    names = found.domain.spellings + found.domain.folded_spellings
    assert {canonical_domain(name) for name in names} == {found.domain.key}
    for local, name in found.folded_spellings:
        assert local + name == (local + name).translate({c: c + 32 for c in range(65, 91)})


@given(LOCALS.filter(lambda content: content == content.strip() and '"' not in content))
def test_a_row_in_any_form_is_found_and_recognised(content: str) -> None:
    """A row stored in any spelling that is asked for has the key that was asked for."""
    key = canonical_pair(content, "x.example")
    if key is None:
        return
    asked = parse(key)
    assert isinstance(asked, Address)
    for local, name in asked.spellings:
        assert canonical_pair(local, name) == key


@given(PATHS, st.sampled_from(["+", "-", "+-", "x", "="]))
def test_bases_are_shorter_and_addresses_themselves(text: str, delimiters: str) -> None:
    """Every base is a key of its own, at the same domain, each shorter than the one before."""
    found = parse(text)
    if not isinstance(found, Address):
        return
    bases = list(found.without_extension(delimiters))
    lengths = [len(base.local) for base in (found, *bases)]
    assert lengths == sorted(set(lengths), reverse=True)
    for base in bases:
        assert parse(base.key) == base
        assert base.domain == found.domain
        assert found.local.startswith(base.local)
        assert fold(base.as_given[0]) == base.local


def test_folding_is_stable_over_all_of_unicode() -> None:
    """Every code point that NFC touches, alone, after K and H, under marks: folded is folded."""
    touched = {c for c in UNICODE if combining(c) or not is_normalized("NFD", c)}
    touched.update(*(normalize("NFD", c) for c in touched))
    assert len(touched) > 10_000
    text = "".join(f" {c} K{c} H{c} {c}\u0331\u0301" for c in sorted(touched))
    folded = fold(text)
    assert fold(folded) == folded
    assert not set(folded) & set(ascii_uppercase)
    unkept = KEPT.sub("", text)
    assert fold(normalize("NFD", unkept)) == fold(unkept) == fold(normalize("NFC", unkept))


@pytest.mark.fault("SQ06")
def test_no_character_becomes_ascii() -> None:
    """No code point outside ASCII folds to text with an ASCII character in it."""
    folded = fold("".join(c for c in UNICODE if c > "\x7f"))
    assert len(folded) > 1_000_000
    assert [c for c in folded if c < "\x80"] == []


@pytest.mark.fault("AB05", "SQ20")
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_long_text_is_refused_by_its_length(piece: str) -> None:
    """64 kB, or 20 MB, of anything costs a dozen calls, none of which looks at the text."""
    for length in (1 << 16, 20_000_000):
        text = piece * (length // len(piece))
        assert parse(text) in (
            Malformed("address over 254 octets"),
            Malformed("unbalanced angle brackets"),
        )
        assert calls(partial(parse, text)) <= 12
        assert calls(partial(parse_domain, text)) <= 12


@pytest.mark.fault("AB05")
@pytest.mark.parametrize("text", SLOWEST)
def test_the_worst_short_text_costs_a_bounded_number_of_calls(text: str) -> None:
    """What is short enough to be read costs 20,000 calls at most: about 2 ms."""
    assert calls(partial(parse, text)) <= 20_000
    found = parse(text)
    if isinstance(found, Address):
        assert calls(lambda: (found.spellings, found.folded_spellings)) <= 20_000
