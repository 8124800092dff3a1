"""The address: what is one, what is none, which are equal, and how a database may spell it."""

from collections.abc import Callable
from itertools import combinations

import pytest

from check_user.address import (
    Address,
    Domain,
    Malformed,
    Unqualified,
    canonical,
    canonical_domain,
    canonical_pair,
    parse,
    parse_domain,
)

KEYS = {
    # what is asked: its key
    "anna@example.org": "anna@example.org",
    "Anna@Example.ORG": "anna@example.org",
    "<anna@example.org>": "anna@example.org",
    "@relay.example:anna@example.org": "anna@example.org",
    "<@relay.example,@bücher.example:anna@example.org>": "anna@example.org",
    '<@relay.example:"a:b"@example.org>': '"a:b"@example.org',
    "O'Brien+news/{1}@x.example": "o'brien+news/{1}@x.example",
    '"anna"@x.example': "anna@x.example",
    '"first.last"@x.example': "first.last@x.example",
    r'"\a\n\n\a"@x.example': "anna@x.example",
    '"A B"@x.example': '"a b"@x.example',
    r'"a\ b"@x.example': '"a b"@x.example',
    '"anna "@x.example': '"anna "@x.example',
    r'"a\"\\b"@x.example': r'"a\"\\b"@x.example',
    '"a@b"@x.example': '"a@b"@x.example',
    '"a..b"@x.example': '"a..b"@x.example',
    '".a"@x.example': '".a"@x.example',
    '"<a>"@x.example': '"<a>"@x.example',
    "zoë@x.example": "zoë@x.example",
    "zoe\u0308@x.example": "zoë@x.example",
    '"zoë"@x.example': "zoë@x.example",
    "A\u030a@x.example": "\u00c5@x.example",
    "H\u0331@x.example": "\u1e96@x.example",
    "анна@x.example": "анна@x.example",
    "anna@localhost": "anna@localhost",
    "anna@x.example.": "anna@x.example",
    "anna@bücher.example": "anna@xn--bcher-kva.example",
    "anna@bu\u0308cher.example": "anna@xn--bcher-kva.example",
    "anna@BüCHER.example.": "anna@xn--bcher-kva.example",
    "anna@XN--Bcher-Kva.example": "anna@xn--bcher-kva.example",
    "anna@xn--zzzz99.example": "anna@xn--zzzz99.example",
    "anna@_tcp.-x-.9.example": "anna@_tcp.-x-.9.example",
    "anna@[127.0.0.1]": "anna@[127.0.0.1]",
    "anna@[IPv6:2001:DB8:0:0::1]": "anna@[ipv6:2001:db8::1]",
    "anna@[ipv6:::FFFF:7F00:1]": "anna@[ipv6:::ffff:127.0.0.1]",
    "anna@[X-Tag:A%B]": "anna@[x-tag:a%b]",
    "a" * 64 + "@x.example": "a" * 64 + "@x.example",
    "a@" + "b" * 63 + ".example": "a@" + "b" * 63 + ".example",
    "a@" + "b." * 125 + "bb": "a@" + "b." * 125 + "bb",
}

NO_LOCAL_PART = "local part neither a dot-string nor a quoted string"
NO_LABEL = "domain label with a forbidden character"
NO_U_LABEL = "domain label not valid in IDNA 2008"
NO_IP = "address literal not an IP address"
NO_LITERAL = "address literal not valid"

MALFORMED = {
    # why: texts, apart by |
    "empty local part": '|<>|@|@x|<@x>|""|""@x|@r:|@r:@x',
    "empty domain": 'a@|<a@>|a@.|"a"@|@,@r:a@x|@:a@x',
    "empty domain label": "a@x..y|a@.x|a@x..|a@é..x|@r..s:a@x",
    NO_LOCAL_PART: r'a..b@x|.a@x|a.@x|.@x|a b@x| a@x|a b|a(b)@x|(b)a@x|"a|"a@x|a"@x|"a"b@x|a."b"@x'
    r'|"a".b@x|"a"""@x|a\@b@x|a,b@x|a;b@x|<<a@x>>|>a@x|a:b@x|"a\|"\é"@x|a.|.',
    NO_LABEL: 'a@x y|a@x |a@ x|a@b@c|a@x>|a@x,y|a@x(c)|a@x:25|a@127.0.0.1]|a@"x"|@r s:a@x',
    NO_U_LABEL: "a@☃.example|a@\u0301a.example|a@é_.example|a@é-.example"
    "|a@xn--é.example|a@\u00a0x|a@x.é\u200d|a@אa.example",
    "unbalanced angle brackets": "<|<a@x|<@r:a@x|<a@x> ",
    "unbalanced square brackets": "a@[|a@[127.0.0.1|a@[127.0.0.1].",
    NO_IP: "a@[127.0.0.01]|a@[1.2.3]|a@[1.2.3.256]|a@[IPv6:1]|a@[IPv6::::]",
    NO_LITERAL: "a@[]|a@[x]|a@[IPv6:]|a@[IPv6:fe80::1%eth0]|a@[tag:]|a@[-:x]|a@[tag:a b]|a@[tag:[x]"
    "|a@[tag:é]|a@[::1]",
    "source route not valid": "@r,s:a@x|@[127.0.0.1]:a@x|@r, @s:a@x",
    "source route to a name without a domain": "@r:postmaster|<@r:postmaster>",
    "control character": 'a\n@x|a@x\r\n|\ta@x|"a\x7f"@x|a\x80@x|a\x9f@x|a@x\x85|@r\n:a@x',
    "local part over 64 octets": "|".join(
        (
            "a" * 65,
            "a" * 65 + "@x",
            "é" * 33 + "@x",
            '"' + "a" * 63 + '"@x',
            "\u0958" * 16 + "@x",  # 48 octets, but 96 in NFC
        )
    ),
    "domain label over 63 octets": "a@" + "b" * 64 + "|a@" + "é" * 64,
    "domain over 253 octets": "a@" + "é." * 80 + "x",
    "address over 254 octets": "|".join(
        (
            "a@" + "b." * 126 + "b",
            "é@" + "b." * 125 + "bb",
            "a" * 60 + "@" + "é." * 12 + "b." * 52 + "b",  # 202 octets, but 262 in A-labels
            "<a@" + "b." * 126 + "b>",
            "@" + "rr." * 80 + "rr:aaaaaaaaaa@x",
            "@" + "é,@" * 80 + "r:a@x",  # 246 characters
        )
    ),
}
REFUSED = [(text, reason) for reason, texts in MALFORMED.items() for text in texts.split("|")]


def address(text: str) -> Address:
    found = parse(text)
    assert isinstance(found, Address), found
    return found


def domain(text: str) -> Domain:
    found = parse_domain(text)
    assert isinstance(found, Domain), found
    return found


@pytest.mark.parametrize(("text", "key"), KEYS.items())
def test_a_valid_path_has_its_key(text: str, key: str) -> None:
    """Every spelling leads to the one canonical key, and the key to itself."""
    assert address(text).key == key
    assert address(key) == address(text)
    assert canonical(key) == key


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_a_malformed_path_is_a_definite_answer(text: str, reason: str) -> None:
    """What breaks the syntax is Malformed for the very reason, and no row can ever equal it."""
    assert parse(text) == Malformed(reason)
    assert str(parse(text)) == reason
    if text == text.strip():
        assert canonical(text) is None


@pytest.mark.fault("SQ06", "SQ22")
def test_characters_that_look_alike_stay_apart() -> None:
    """Nothing but the 26 ASCII letters is folded: look-alikes have keys of their own."""
    look_alikes = "k", "\u212a", "\uff4b", "\uff2b", "\U0001d424", "к", "ķ", "k\u0323", "ᴋ", "ĸ"
    assert parse("K@x.example") == parse("k@x.example")
    for one, other in combinations(look_alikes, 2):
        assert address(f"{one}@x.example") != address(f"{other}@x.example")
    for one, other in [("ſ", "s"), ("İ", "i"), ("ı", "i"), ("ß", "ss"), ("æ", "ae"), ("а", "a")]:
        assert address(f"{one}@x.example") != address(f"{other}@x.example")


@pytest.mark.fault("SQ06")
def test_characters_that_nfc_makes_ascii_stay_as_they_are() -> None:
    """NFC would turn three code points into ASCII; none of them becomes it, in NFD neither."""
    for character in "\u212a\u037e\u1fef":
        found = address(f"{character}@x.example")
        assert found.local == character
        assert found.spellings == ((character, "x.example"),)
    assert parse("a@\u212a.example") == Malformed(NO_U_LABEL)


@pytest.mark.fault("SQ12")
@pytest.mark.parametrize("text", ["a\0@x", "a@x\0", "\0", '"\\\0"@x', "<a@x\0>"])
def test_nul_never_reaches_a_database(text: str) -> None:
    """NUL is malformed wherever it stands."""
    assert parse(text) == parse_domain(text) == Malformed("control character")
    assert canonical(text) is None


@pytest.mark.fault("SQ13")
@pytest.mark.parametrize("sent", [b"\xff@x", b"a@\xff", b"a\xed\xa0\x80@x", b"\xc3", b'"\x80"@x'])
def test_invalid_utf8_is_malformed(sent: bytes) -> None:
    """Bytes that aren't UTF-8 arrive as lone surrogates, and end here."""
    text = sent.decode("utf-8", "surrogateescape")
    assert parse(text) == parse_domain(text) == Malformed("invalid UTF-8")
    assert canonical(text) is None
    assert canonical_pair(text, "x") is None


@pytest.mark.fault("SQ21")
@pytest.mark.parametrize(
    "name", ["x。example", "℀.example", "😀.example", "ｋ.example", "a\u00adb.de"]
)
def test_a_domain_is_never_mapped_to_another(name: str) -> None:
    """What IDNA 2003 or UTS 46 would map onto somebody's domain is malformed."""
    assert parse(f"a@{name}") == Malformed(NO_U_LABEL)
    assert parse_domain(name) == Malformed(NO_U_LABEL)


@pytest.mark.fault("SQ21")
def test_the_sharp_s_is_not_ss() -> None:
    """A-label and U-label are one domain; what IDNA 2003 took for the same is another."""
    assert domain("straße.example") == domain("xn--strae-oqa.example")
    assert domain("straße.example") != domain("strasse.example")


def test_an_unqualified_name_is_no_address() -> None:
    """A name without a domain is Unqualified, folded like a local part."""
    for text in ("Postmaster", "<POSTMASTER>", '"postmaster"'):
        name = parse(text)
        assert name == Unqualified("postmaster", "postmaster")
        assert isinstance(name, Unqualified)
        assert name.is_postmaster
    other = parse('"Röt b"')
    assert isinstance(other, Unqualified)
    assert (other.key, other.is_postmaster) == ('"röt b"', False)
    assert other.for_reply() == r'"r\x{F6}t b"'


@pytest.mark.parametrize(
    "text", ["a%x.example", "x.example!a", '"a@x.example"', "<a%b%c>", '"a b!c"', "50%", "!"]
)
def test_a_name_that_a_mail_server_may_split_is_malformed(text: str) -> None:
    """Without a domain a name has no ``%``, ``!`` or ``@``: a mail server may find a domain there.

    With a domain they are characters like any other.
    """
    assert parse(text) == Malformed("a route in a name without a domain")
    assert address(f"{text.strip('<>')}@x.example")


def test_postmaster_is_told_by_the_folded_local_part() -> None:
    """Any spelling of postmaster is postmaster, and nothing else is."""
    assert address('"PostMaster"@x.example').is_postmaster
    assert not address("postmaster+a@x.example").is_postmaster


@pytest.mark.parametrize(("text", "key"), [(t.partition("@")[2], k) for t, k in KEYS.items()][-20:])
def test_a_domain_alone_is_read_as_in_an_address(text: str, key: str) -> None:
    """A domain alone has the key that it has within an address."""
    assert domain(text).key == key.partition("@")[2]
    assert canonical_domain(f" {text}\n") == key.partition("@")[2]


def test_the_longest_domains_are_domains() -> None:
    """253 octets of A-labels are a domain, with a trailing dot and in longer U-labels too."""
    assert len(domain("b." * 126 + "b.").key) == 253
    assert domain(".".join(["漢" * 55] * 4)).key == ".".join([domain("漢" * 55).key] * 4)


@pytest.mark.parametrize("text", ["", ".", "@x", "a@x", "x..y", "<x>", " x", "[x", "x" * 64, "x\n"])
def test_what_is_no_domain_is_malformed(text: str) -> None:
    """A domain alone has neither ``@`` nor brackets nor empty labels."""
    assert isinstance(parse_domain(text), Malformed)


def test_a_plain_address_has_one_spelling() -> None:
    """The common case costs one comparison in the database."""
    plain = address("anna@example.org")
    assert plain.spellings == plain.folded_spellings == (("anna", "example.org"),)


def test_spellings_lead_to_a_row_however_it_is_stored() -> None:
    """Canonical first, then as given, NFD, quoted, verbatim; A-label, U-label, NFD, as given."""
    asked = address("Zoe\u0308@BüCHER.example")
    assert asked.as_given == ("Zoe\u0308", "BüCHER.example")
    assert asked.spellings[0] == ("zoë", "xn--bcher-kva.example")
    assert {local for local, _ in asked.spellings} == {"zoë", "Zoe\u0308", "zoe\u0308"}
    names = "xn--bcher-kva.example", "bücher.example", "bu\u0308cher.example"
    assert asked.domain.spellings == (*names, "BüCHER.example")
    assert asked.domain.folded_spellings == names
    assert len(asked.spellings) == len(set(asked.spellings)) == 12

    quoted = address(r'"A\ B"@x.example')
    assert quoted.as_given == ("A B", "x.example")
    assert [local for local, _ in quoted.spellings] == ["a b", "A B", '"a b"', r'"A\ B"']
    assert [local for local, _ in quoted.folded_spellings] == ["a b", '"a b"']
    assert [local for local, _ in address('"anna"@x').spellings] == ["anna", '"anna"']
    assert [local for local, _ in address("zoë@x").spellings] == ["zoë", "zoe\u0308"]


@pytest.mark.fault("SQ24")
@pytest.mark.parametrize("database_lower", [str.lower, lambda text: text.encode().lower().decode()])
@pytest.mark.parametrize("stored", ["ÉLODIE", "E\u0301lodie", "Élodie", "ЙOS", "И\u0306os"])
def test_folded_spellings_meet_the_fold_of_any_database(
    stored: str, database_lower: Callable[[str], str]
) -> None:
    """A row is found whether the database's ``lower()`` folds ASCII alone or every letter."""
    key = canonical_pair(stored, "x.example")
    assert key is not None
    assert (database_lower(stored), "x.example") in address(key).folded_spellings


def test_an_opaque_a_label_has_no_u_label() -> None:
    """Only a name's label that IDNA 2008 decodes and encodes back has a second spelling."""
    for name in ("xn--zzzz99.example", "xn--abc-.example", "xn--.example", "[tag:.xn--bcher-kva.]"):
        assert domain(name).spellings == (name,)


def test_extensions_are_taken_off_the_longest_base_first() -> None:
    """Each delimiter ends a base; no base is empty."""
    bases = list(address("A+b+c@D").without_extension("+"))
    assert [base.key for base in bases] == ["a+b@d", "a@d"]
    assert [base.as_given for base in bases] == [("A+b", "D"), ("A", "D")]
    assert [b.key for b in address("a+b-c@d").without_extension("-+")] == ["a+b@d", "a@d"]
    assert [b.key for b in address("+a@d").without_extension("+")] == []
    assert [b.key for b in address("a.+b@d").without_extension("+")] == ['"a."@d']
    assert [b.key for b in address("É+b@d").without_extension("+")] == ["É@d"]
    assert [b.key for b in address("E\u0301+b@d").without_extension("+")] == ["É@d"]
    assert [b.key for b in address("a+b@d").without_extension("")] == []
    assert [b.key for b in address("a" * 62 + ".+@d").without_extension("+")] == []


@pytest.mark.parametrize("name", ["postmaster", "MAILER-DAEMON", "double-bounce"])
def test_the_mail_systems_own_names_have_no_extension(name: str) -> None:
    """A delimiter in the name of the mail system itself is a part of the name."""
    assert list(address(f"{name}@d").without_extension("-t")) == []


def test_a_reply_is_printable_ascii() -> None:
    """Domains are written in A-labels, other characters as RFC 6533 has it."""
    assert address("zoë@bücher.de").for_reply() == r"zo\x{EB}@xn--bcher-kva.de"
    assert address("\U0001f600@x").for_reply() == r"\x{1F600}@x"
    longest = address("œ" * 32 + "@" + "b." * 94 + "b")
    assert len(longest.for_reply()) == 414


@pytest.mark.fault("SQ24")
def test_a_stored_address_is_read_leniently_at_its_ends_only() -> None:
    """Padding doesn't count; anything else that isn't an address equals none."""
    assert canonical(" Anna@X.Example  ") == "anna@x.example"
    assert canonical("zoe\u0308@bücher.de\r\n") == "zoë@xn--bcher-kva.de"
    assert canonical('"anna "@x') == '"anna "@x'
    for stored in ("", " ", "anna", "@x", "*", "<a@x>", "@r:a@x", "a @x", "a@x b", "\u00a0 a"):
        assert canonical(stored) is None


@pytest.mark.parametrize(
    ("local", "name", "key"),
    [
        ("Anna", "X.Example", "anna@x.example"),
        ("anna ", " x.example ", "anna@x.example"),
        ("a b", "x", '"a b"@x'),
        ('"a b"', "x", '"a b"@x'),
        ('"anna"', "x", "anna@x"),
        ('a"b', "x", r'"a\"b"@x'),
        ('"ab', "x", r'"\"ab"@x'),
        ("a@b", "x", '"a@b"@x'),
        ("zoe\u0308", "bücher.de", "zoë@xn--bcher-kva.de"),
        ("", "x", None),
        ('""', "x", None),
        ("anna", "", None),
        ("anna", "b@x", None),
        ("<a", "x>", None),
        ("@r:a", "x", '"@r:a"@x'),
        ("a\0", "x", None),
        ("a\nb", "x", None),
        ("a" * 65, "x", None),
        ("a " * 32, "x", None),
        ("a" * 64, "b." * 95 + "b", None),
    ],
)
def test_two_columns_make_one_key(local: str, name: str, key: str | None) -> None:
    """A local part of its own column may be written or bare; it never spills into the domain."""
    assert canonical_pair(local, name) == key


@pytest.mark.parametrize("stored", ["Emil@BÜCHER.example", "emil@BÜCHER.Example "])
def test_a_stored_domain_in_capitals_is_the_domain(stored: str) -> None:
    """A table's U-labels in capitals mean the domain; a sender's are malformed."""
    local, _, domain = stored.partition("@")
    assert canonical(stored) == "emil@xn--bcher-kva.example"
    assert canonical_pair(local, domain) == "emil@xn--bcher-kva.example"
    assert canonical_domain(domain) == "xn--bcher-kva.example"
    assert isinstance(parse(stored.strip()), Malformed)


@pytest.mark.fault("SQ06")
def test_a_stored_kelvin_sign_is_no_k() -> None:
    """Reading a stored domain's capitals doesn't make a foreign letter an ASCII one."""
    assert canonical_domain("\u212aino.example") is None
    assert canonical("anna@\u212aino.example") is None
