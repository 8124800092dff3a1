"""``check-user opensmtpd``: the filter that OpenSMTPD's smtpd runs (``contrib/opensmtpd``).

    filter "check_user" proc-exec "/opt/check_user/bin/check-user opensmtpd"

It asks the ``line`` door of a running ``check-user serve``, so it reads no configuration. It goes
on until smtpd ends, whatever signals it gets.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace

from check_user.protocols.opensmtpd import OpenSMTPDCodec
from check_user.servers.client import LineClient
from check_user.servers.listen import ListenError, parse_endpoint
from check_user.servers.stdio import Child, keep_running, report


def opensmtpd(options: Namespace) -> int:
    """Run the filter until its standard input ends; 78 for a door's address that can't be."""
    try:
        client = LineClient(parse_endpoint(options.door), report)
    except ListenError as error:
        print(f"check-user: {error}", file=sys.stderr)
        return os.EX_CONFIG
    keep_running()
    Child(OpenSMTPDCodec(), client).run()
    return os.EX_OK
