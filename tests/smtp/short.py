"""check_user with short time limits: ``python -m tests.smtp.short serve --config FILE``.

What can be set by the configuration is; this is for the rest, in a service of one process.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import Any

from check_user.app import gateway
from check_user.cli import main
from check_user.gateway.delivery import Timeouts
from check_user.servers.talk import Limits

SECOND = 1.0
SESSION = 3.0


def limits(**given: Any) -> Limits:
    """A session's, whatever is configured: a second for a command, three in all."""
    return replace(Limits(**given), idle=SECOND, rest=SECOND, session=SESSION, content=2 * SECOND)


if __name__ == "__main__":
    hop = partial(Timeouts, connect=SECOND, data=SECOND, stall=SECOND, end=SECOND)
    vars(gateway).update(Timeouts=hop, Limits=limits)
    sys.exit(main())
