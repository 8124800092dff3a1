"""The configuration: a ``key=value`` file in, :class:`Settings` out, or a :class:`ConfigError`.

Lines as in 2007 (``lines``), values by type (``values``), DBI's ways (``dbi``), every key declared
once (``accounts`` and ``settings``, with ``declaring``), the rules between them (``loader``), what
people read of it (``reference``).
It doesn't know which doors there are, nor what an address to listen at may be; it opens no
connection; it reads the configuration and the password file, and nothing else.
"""

from check_user.config.error import ConfigError
from check_user.config.loader import contents, find, load, parse
from check_user.config.reference import in_force, reference
from check_user.config.settings import KEYS, Settings
from check_user.config.values import Listen, Named, Secret

__all__ = [
    "KEYS",
    "ConfigError",
    "Listen",
    "Named",
    "Secret",
    "Settings",
    "contents",
    "find",
    "in_force",
    "load",
    "parse",
    "reference",
]
