"""``check-user demo``: a sample database behind every door, and what to try."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from check_user.app.demo import Demo, prepare_demo
from check_user.app.serve import serve

TEXT = """\
check_user is running, with a SQLite database of sample accounts. Nothing leaves this machine.
Ctrl-C ends it and removes {folder}.

Doors on 127.0.0.1: smtp {smtp}, policy {policy}, socketmap {socketmap}, tcp_table {tcp_table},
milter {milter}, line {line}, exim {exim}; and {folder}/policy.sock and so on.

Try, in another terminal:

1. The verdicts for three addresses:

  {command} lookup --config {config} anna@example.org nobody@example.org someone@elsewhere.example

  anna@example.org	DECLINED	known	Local address 'anna@example.org'
  nobody@example.org	DENY	unknown	Address 'nobody@example.org' doesn't exist on this server
  someone@elsewhere.example	DECLINED	foreign	Foreign address 'someone@elsewhere.example'

2. A mail server that refuses whom it doesn't know (or: swaks --server 127.0.0.1:{smtp} --to ...):

  {python} -c "import smtplib; s = smtplib.SMTP('127.0.0.1', {smtp}); s.ehlo(); \
s.mail('you@example.com'); said = [s.rcpt(who) for who in ('anna@example.org', \
'nobody@example.org')]; print(*said, sep='\\n'); \
said[0][0] == 250 and print(s.data('Subject: hello'))"

  (250, b'2.1.5 Recipient ok')
  (550, b"5.1.1 Address 'nobody@example.org' doesn't exist on this server")
  (250, b'2.0.0 Queued')

  The mail lies in {folder}/mail/new. Now stop the database, and send it again:

  mv {database} {database}.away

  (451, b'4.4.3 Internal error - try later')
  (451, b'4.4.3 Internal error - try later')

  And back: mv {database}.away {database}

3. A request as Postfix sends it to a policy service:

  {python} -c "import socket; s = socket.create_connection(('127.0.0.1', {policy})); \
s.sendall(b'request=smtpd_access_policy\\nrecipient=nobody@example.org\\n\\n'); \
print(s.recv(512).decode().strip())"

  action=550 5.1.1 Address 'nobody@example.org' doesn't exist on this server

4. Postfix itself, in main.cf (contrib/postfix has this with its time limits and reasons):

  smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
  smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{policy}

  or, as a table:

  relay_recipient_maps = socketmap:inet:127.0.0.1:{socketmap}:recipients

  Then RCPT TO:<nobody@example.org> is answered
  550 5.1.1 <nobody@example.org>: Recipient address rejected: Address 'nobody@example.org' doesn't
  exist on this server

Every verdict is logged below.
"""


def demo(_: Namespace) -> int:
    """Run the command until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="check_user-demo-") as folder:
        prepared = prepare_demo(Path(folder))
        serve(prepared.config, lambda: print(what_to_try(prepared), flush=True))
    return os.EX_OK


def what_to_try(demo: Demo) -> str:
    """Write the commands with this demo's ports and paths, and what will come back."""
    program = Path(sys.argv[0])
    installed = program.name == "check-user" and program.exists()
    python = shlex.quote(sys.executable)
    return TEXT.format(
        folder=demo.config.parent,
        config=demo.config,
        database=demo.database,
        command=shlex.quote(str(program)) if installed else f"{python} -m check_user",
        python=python,
        **demo.ports,
    )
