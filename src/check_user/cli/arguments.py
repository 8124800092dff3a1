"""The command line's arguments, every command's.

Nothing is imported for them that isn't the standard library's: see ``cli`` for the reason.
"""

from __future__ import annotations

from argparse import ArgumentParser

from check_user import __version__

LINE_DOOR = "unix:/run/check_user/line.sock"
"""Where ``serve`` has its ``line`` door if the configuration names no other (key ``listen``)."""

DEFAULT_FILE = "/etc/check_user/check_user.conf"

DRIVERS = ("mysql", "postgresql", "sqlite")

LOOKUP_CODES = (
    "Exit code 0: all are known; 1: at least one is unknown or refused; 3: none of those, but one "
    "is foreign; 75: at least one could not be told."
)

REPLICA_ACTIONS = {
    "build": "list the database into the replica",
    "status": "say how old the replica is, and what is in it",
    "verify": "list the database and tell what the replica has otherwise; exit 1 if anything",
}
ACCEPT_LOSS = "also where users or domains are gone by the dozen"


def parser() -> ArgumentParser:
    """Declare every command with its arguments."""
    parser = ArgumentParser(
        prog="check-user", description="Recipient verification for mail servers."
    )
    parser.add_argument("--version", action="version", version=f"check_user {__version__}")
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND"
    )

    configured = ArgumentParser(add_help=False)
    configured.add_argument("--config", metavar="FILE", help="the configuration file")

    commands.add_parser("serve", parents=[configured], help="run every door")

    ask = commands.add_parser(
        "lookup", parents=[configured], help="the verdict for each address", epilog=LOOKUP_CODES
    )
    ask.add_argument("addresses", nargs="+", metavar="ADDRESS", help="'-': a line each from stdin")
    ask.add_argument("--json", action="store_true", help="a JSON object a line")
    ask.add_argument("--explain", action="store_true", help="show the steps as well")

    commands.add_parser("check", parents=[configured], help="what is wrong, and what to do")

    begin = commands.add_parser("init", help="look into a database and write the configuration")
    _add_init(begin)

    commands.add_parser("demo", help="a sample database behind every door")

    child = commands.add_parser("opensmtpd", help="the filter that OpenSMTPD runs")
    child.add_argument(
        "door",
        nargs="?",
        default=LINE_DOOR,
        metavar="ADDRESS",
        help=f"the line door of check-user serve ({LINE_DOOR})",
    )

    snippets = commands.add_parser(
        "recipe", parents=[configured], help="what a mail server needs in order to ask"
    )
    mtas = "postfix, exim, sendmail, opensmtpd, haraka, qpsmtpd"
    snippets.add_argument("mail_server", metavar="MTA", help=mtas)
    snippets.add_argument("file", nargs="?", metavar="FILE", help="print this one alone")

    local = commands.add_parser("replica", help="the local replica: build, status, verify")
    actions = local.add_subparsers(required=True, metavar="ACTION")
    for action, what in REPLICA_ACTIONS.items():
        each = actions.add_parser(action, parents=[configured], help=what, description=what)
        if action == "build":
            each.add_argument("--accept-loss", action="store_true", help=ACCEPT_LOSS)
        each.set_defaults(action=action)

    config = commands.add_parser("config", parents=[configured], help="the settings in force")
    config.add_argument("--reference", action="store_true", help="print every key instead")
    return parser


def _add_init(command: ArgumentParser) -> None:
    """Declare the options of ``init``."""
    add = command.add_argument
    add("--driver", choices=DRIVERS, help="the database's kind")
    add("--database", help="its name; for sqlite the file")
    add("--host", help="where it is, if not on this machine; with :PORT if not the usual one")
    add("--socket", help="its unix socket (postgresql: the folder)")
    add("--user", help="the database user")
    add("--passwd-file", help="a file whose one line is the password")
    add("--schema", help="the product, if it isn't to be recognised")
    add("--value", action="append", default=[], metavar="NAME=VALUE", help="what the schema needs")
    add("--delimiter", help="characters that may begin an extension (+)")
    add("--listen", action="append", default=[], metavar="DOOR ADDRESS", help="a door")
    add("--recipients", nargs="+", default=[], metavar="CF", help="Postfix's maps of recipients")
    add("--domains", nargs="+", default=[], metavar="CF", help="Postfix's maps of domains")
    add("--address", help="an address that is there, to prove the configuration with")
    add("--output", default=DEFAULT_FILE, metavar="FILE", help=f"the file ({DEFAULT_FILE})")
    add("--force", action="store_true", help="replace the file if it is there")
