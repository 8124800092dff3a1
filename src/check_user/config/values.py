"""What a value may be: a type for each kind of key, from text to a Python value and back.

A :class:`Type` has a word for the reference, ``parse`` (text in; ValueError with what is wrong and
what was probably meant) and ``show`` (the way back, for ``check-user config``).
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from check_user.address import canonical_domain

T = TypeVar("T")


class Secret:
    """A text that shows itself only when asked with :meth:`reveal`."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text. For the database driver, nobody else."""
        return self._text

    def __repr__(self) -> str:
        """Tell only whether there is one."""
        return "(hidden)" if self._text else "(empty)"

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Listen:
    """A door and where it is open. ``app`` knows the doors, ``servers`` the addresses; ``line`` is
    the file's, 0 for the default, so that they can say where an error stands.
    """

    door: str
    address: str
    line: int = field(default=0, compare=False)

    def __str__(self) -> str:
        """Write ``DOOR ADDRESS``."""
        return f"{self.door} {self.address}"


@dataclass(frozen=True, slots=True)
class Named:
    """A value of its own for one name: ``NAME VALUE``. ``line`` is the file's."""

    name: str
    value: str
    line: int = field(default=0, compare=False)

    def __str__(self) -> str:
        """Write ``NAME VALUE``."""
        return f"{self.name} {self.value}"


@dataclass(frozen=True, slots=True)
class ReplyCode:
    """An SMTP reply code and its enhanced one (RFC 3463)."""

    code: int
    enhanced: str

    def __str__(self) -> str:
        """Write ``550 5.1.1``."""
        return f"{self.code} {self.enhanced}"


@dataclass(frozen=True, slots=True)
class Host:
    """A database host; ``port`` is None where the host's own entry names none."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        """Write ``NAME`` or ``NAME:PORT``."""
        return self.name if self.port is None else join_host(self.name, self.port)

    @property
    def is_loopback(self) -> bool:
        """Whether it can only be this machine, by its name alone."""
        try:
            return ipaddress.ip_address(self.name).is_loopback
        except ValueError:
            return self.name == "localhost" or self.name.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class Type(Generic[T]):
    """How a kind of value is read and shown; ``word`` names it in the reference."""

    word: str
    parse: Callable[[str], T]
    show: Callable[[T], str] = str


def meant(word: str, known: Iterable[str]) -> str:
    """Suggest the nearest of ``known``: ``; did you mean 'x'?``, or nothing."""
    near = difflib.get_close_matches(word.lower(), list(known), 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def join_host(host: str, port: int) -> str:
    """Write ``HOST:PORT``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _number(text: str, low: float, high: float) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII):
        raise ValueError(f"{text!r} is not a number")
    value = float(text)
    if not low <= value <= high:
        raise ValueError(f"{text} is not between {low} and {high}")
    return value


def seconds(low: float, high: float) -> Type[float]:
    """A number of seconds, fractions allowed; ``low`` and ``high`` are allowed as well."""
    return Type(
        f"seconds, {low} to {high}",
        lambda text: _number(text, low, high),
        lambda value: f"{value:.9g}",
    )


def count(low: int, high: int) -> Type[int]:
    """A whole number from ``low`` to ``high``."""

    def parse(text: str) -> int:
        value = _number(text, low, high)
        if not value.is_integer():
            raise ValueError(f"{text!r} is not a whole number")
        return int(value)

    return Type(f"number, {low} to {high}", parse)


def choice(*words: str) -> Type[str]:
    """One of a few words, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            hint = meant(text, words)
            raise ValueError(f"{text!r} is none of {', '.join(words)}{hint}")
        return text.lower()

    return Type(" | ".join(words), parse)


def some_of(*words: str) -> Type[tuple[str, ...]]:
    """Any of a few words, in any case, separated by blanks or commas."""

    def parse(text: str) -> tuple[str, ...]:
        given = text.lower().replace(",", " ").split()
        for word in given:
            if word not in words:
                raise ValueError(f"{word!r} is none of {', '.join(words)}{meant(word, words)}")
        return tuple(dict.fromkeys(given))

    return Type(", ".join(words), parse, ", ".join)


def parse_port(text: str) -> int:
    """Read a TCP port, 1 to 65535. Raises ValueError."""
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise ValueError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def parse_host(text: str) -> Host:
    """Read ``NAME``, ``NAME:PORT``, an IPv6 address, or one in brackets with or without a port."""
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(.*))?", text)
    if bracketed:
        name, port = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        name, port = text.split(":")
    else:
        name, port = text, None
    if not name or re.search(r"[\s/@\[\]]", name):
        raise ValueError(f"{text!r} is not a host")
    return Host(name, None if port is None else parse_port(port))


def _parse_hosts(text: str) -> tuple[Host, ...]:
    return tuple(parse_host(part) for part in re.split(r"[\s,]+", text) if part)


def _parse_absolute(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is not an absolute path")
    return text


def _parse_listen(text: str) -> Listen:
    found = re.fullmatch(r"([a-z_]+)[ \t]+((?:inet|unix):\S+)", text, re.ASCII)
    if not found:
        raise ValueError(f"{text!r} is not 'DOOR inet:HOST:PORT' or 'DOOR unix:/PATH'")
    return Listen(found[1], found[2])


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _parse_networks(text: str) -> tuple[Network, ...]:
    def parse(word: str) -> Network:
        try:
            return ipaddress.ip_network(word, strict=False)
        except ValueError:
            raise ValueError(f"{word!r} is no address or network (192.0.2.0/24)") from None

    return tuple(parse(word) for word in text.replace(",", " ").split())


def _parse_mode(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text, re.ASCII):
        raise ValueError(f"{text!r} is not an octal mode such as 0660")
    return int(text, 8)


def _parse_delimiters(text: str) -> str:
    if re.search(r"[^!-~]|[A-Za-z0-9@\"\\]", text):
        raise ValueError("only ASCII characters that are neither letters, digits nor blanks")
    return "".join(dict.fromkeys(text))


def _parse_yes_no(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ValueError(f"{text!r} is neither yes nor no")
    return text.lower() == "yes"


def _parse_named(text: str) -> Named:
    found = re.fullmatch(r"(\S+)[ \t]+(.+)", text)
    if not found:
        raise ValueError(f"{text!r} is not 'NAME VALUE'")
    return Named(found[1], found[2])


def _parse_domain(text: str) -> str:
    key = canonical_domain(text)
    if key is None:
        raise ValueError(f"{text!r} is not a domain")
    return key


def _parse_domains(text: str) -> tuple[str, ...]:
    return tuple(_parse_domain(word) for word in text.replace(",", " ").split())


def _parse_domain_delimiters(text: str) -> Named:
    domain, _, characters = text.partition(" ")
    return Named(_parse_domain(domain), _parse_delimiters(characters.strip()))


REPLY_CODE = re.compile(
    r"(?P<code>(?P<class>[245])[0-5][0-9]) (?P<enhanced>(?P=class)\.[0-9]{1,3}\.[0-9]{1,3})",
    re.ASCII,
)
"""RFC 5321 4.2 and RFC 3463 2: both of one class."""


def reply_code(*classes: int) -> Type[ReplyCode]:
    """A reply code of one of these classes (5: refused for good), with its enhanced code."""

    def parse(text: str) -> ReplyCode:
        found = REPLY_CODE.fullmatch(text)
        if not found or int(found["class"]) not in classes:
            kinds = " or ".join(f"{each}xx {each}.x.x" for each in classes)
            raise ValueError(f"{text!r} is not a reply code {kinds}, as '550 5.2.1' is")
        return ReplyCode(int(found["code"]), found["enhanced"])

    return Type("code", parse)


def _parse_reply_text(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or len(text) > LONGEST_REPLY:
        raise ValueError(f"must be printable ASCII of at most {LONGEST_REPLY} characters")
    if re.search(r"[{}]", text.replace("{address}", "")):
        raise ValueError("may name {address}, and has no other braces")
    return _parse_name(text)


LONGEST_REPLY = 200
"""Characters; with an address the text stays below the 460 that a reply line has for it."""


def _parse_name(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


TEXT = Type("text", str)
NAME = Type("name", _parse_name)
SECRET = Type("text", Secret)
PORT: Type[int | None] = Type("port", parse_port, lambda port: "" if port is None else str(port))
HOSTS = Type("hosts", _parse_hosts, lambda hosts: ", ".join(map(str, hosts)))
SOCKET = Type("path", _parse_absolute)
LISTEN = Type("DOOR ADDRESS", _parse_listen)
NETWORKS = Type("networks", _parse_networks, lambda networks: ", ".join(map(str, networks)))
MODE = Type("octal mode", _parse_mode, lambda mode: f"{mode:04o}")
YES_NO = Type("yes | no", _parse_yes_no, lambda value: "yes" if value else "no")
DELIMITERS = Type("characters", _parse_delimiters)
DOMAIN_DELIMITERS = Type("DOMAIN CHARACTERS", _parse_domain_delimiters)
DOMAINS = Type("domains", _parse_domains, ", ".join)
NAMED = Type("NAME VALUE", _parse_named)
REPLY_TEXT = Type("text", _parse_reply_text)
