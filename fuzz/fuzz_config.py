"""Any bytes as a configuration file: settings or ConfigError, nothing else.

python fuzz/fuzz_config.py -runs=1000000
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["check_user"]):
    from check_user.config import KEYS, ConfigError, Settings, in_force, parse

FILE = Path("/nonexistent/check_user.conf")
NAMES = [name.encode() for name in KEYS]
GOOD = {
    b"driver": b"mysql",
    b"database": b"maildb",
    b"user": b"u",
    b"passwd": b"p",
    b"email_table": b"t",
    b"domain_table": b"t",
    b"email_address": b"a",
    b"domain_domain": b"d",
}


def overlaid(data: bytes) -> bytes:
    """A good file with some values changed: each line's first octet chooses the key."""
    keys = dict(GOOD)
    keys.update({NAMES[line[0] % len(NAMES)]: line[1:] for line in data.split(b"\n") if line})
    return b"\n".join(key + b"=" + value for key, value in keys.items())


def one_input(data: bytes) -> None:
    for text in (data, overlaid(data)):
        try:
            settings = parse(FILE, text)
        except ConfigError as error:
            if "\n" in str(error):
                raise AssertionError(repr(str(error))) from error
        else:
            if not isinstance(settings, Settings) or not in_force(settings):
                raise AssertionError(repr(settings))


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
