"""``check-user recipe``: what goes into a mail server's configuration to let it ask check_user.

    $ check-user recipe exim
    ==> acl_check_rcpt <==
    # Exim asks check_user in its RCPT ACL, by ${readsocket...}.
    ...

Every file that fits a door of the configuration is printed under its name; each begins with what
goes where. Named alone it is printed as it is: ``check-user recipe exim acl_check_rcpt``.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterable

from check_user.app.recipe import MAIL_SERVERS, recipe
from check_user.config import find, load
from check_user.telemetry import printable

USAGE = 2


def print_recipe(options: Namespace) -> int:
    """Run the command; 2 for a mail server or a file that there is none of."""
    if options.mail_server not in MAIL_SERVERS:
        return _usage(options.mail_server, "no mail server with a recipe", MAIL_SERVERS)
    made = recipe(load(find(options.config)), options.mail_server, options.file)
    for note in made.notes:
        print(f"check-user: {note}", file=sys.stderr)
    if options.file is None:
        print("\n".join(f"==> {name} <==\n{text}" for name, text in made.files.items()), end="")
        return os.EX_OK
    if options.file not in made.files:
        return _usage(options.file, "no file of this recipe", made.files)
    print(made.files[options.file], end="")
    return os.EX_OK


def _usage(given: str, what: str, known: Iterable[str]) -> int:
    print(f"check-user: {printable(given)!r} is {what}: {', '.join(known)}", file=sys.stderr)
    return USAGE
