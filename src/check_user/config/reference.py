"""What people read about the keys: the reference, and the settings in force."""

from __future__ import annotations

import textwrap

from check_user.config.declaring import REQUIRED, Key
from check_user.config.settings import KEYS, Settings

_HEAD = """\
# The configuration

Lines of `key=value`; a line that begins with `#` is a comment. Blanks around the key and around the
value are dropped, quotes are part of the value; a key left empty has its default. The file is the
one that `--config` names, else `$CHECK_USER_CONFIG`, `/etc/check_user/check_user.conf`,
`/etc/qpsmtpd/check_user`. A file of the 2007 plugin works unchanged. `check-user check` tells what
is wrong with one.

This page is what `check-user config --reference` prints.
"""

_WRAP = textwrap.TextWrapper(
    100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
)


def reference() -> str:
    """Every key with its type, default and sentence, as Markdown that reads well as it is."""
    parts, group = [_HEAD], ""
    for key in KEYS.values():
        if key.group != group:
            group = key.group
            parts.append(f"\n## {group}\n\n")
        item = f"- `{key.name}` ({key.type.word}; {_default(key)}): {key.sentence}"
        parts.append(_WRAP.fill(item) + "\n")
    return "".join(parts)


def in_force(settings: Settings) -> str:
    """Write the settings as ``key=value`` lines, every default filled in and secrets hidden."""
    lines = [f"# {settings.file}"]
    for key in KEYS.values():
        value = getattr(settings, key.name)
        shown = map(key.type.show, value if key.repeatable else (value,))
        lines.extend(f"{key.name}={one}" for one in shown)
    return "\n".join(lines) + "\n"


def _default(key: Key) -> str:
    if key.default_text:
        return key.default_text
    if key.default is REQUIRED:
        return "needed"
    shown = ", ".join(map(key.type.show, key.default if key.repeatable else (key.default,)))
    return f"default `{shown}`" if shown else "default: empty"
