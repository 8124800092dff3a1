"""The command line: arguments in, output and exit codes out.

==  ===================================================================================
0   all is well; ``lookup``: every address is known
1   ``lookup``: at least one is unknown or refused; ``check``: at least one error
2   usage
3   ``lookup``: all could be told, none is refused, at least one is foreign
69  EX_UNAVAILABLE: no database could be reached
75  EX_TEMPFAIL: ``lookup``: at least one address could not be told
78  EX_CONFIG: the configuration is wrong, a missing table or column included
==  ===================================================================================

(Numbers above 63 as in sysexits(3); 130 and 141 as a shell tells SIGINT and SIGPIPE.) Errors are
one line on stderr.

Each command imports what it needs when it is run: ``opensmtpd`` lives as long as the mail server,
and the database's driver alone would double its memory.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from check_user import __version__
from check_user.cli.init import add_arguments as add_init_arguments
from check_user.config import KEYS, ConfigError, find, in_force, load, reference
from check_user.directory import Finding, Level, Misconfigured, Unavailable

INTERRUPTED = 130
BROKEN_PIPE = 141

LINE_DOOR: str = KEYS["listen"].default[0].address
"""Where ``serve`` has its ``line`` door if the configuration names no other."""

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; ``arguments`` are without the program's name. Returns the exit code."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever the locale says
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = int(options.run(options))
        if sys.stdout is not None:  # closed from the beginning, as by `>&-`
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head`: the rest is not wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except ConfigError as error:
        return _fail(os.EX_CONFIG, str(error))
    except Misconfigured as error:
        return _fail(os.EX_CONFIG, f"{find(options.config)}: {error}")
    except Unavailable as error:
        return _fail(os.EX_UNAVAILABLE, f"no database can be reached: {error}")
    return code


def _fail(code: int, message: str) -> int:
    from check_user.telemetry import printable

    print(f"check-user: {printable(message)}", file=sys.stderr)
    return code


def _serve(options: argparse.Namespace) -> int:
    from check_user.app.serve import serve

    serve(find(options.config))
    return os.EX_OK


def _lookup(options: argparse.Namespace) -> int:
    from check_user.cli.lookup import lookup

    return lookup(options)


def _init(options: argparse.Namespace) -> int:
    from check_user.cli.init import init

    return init(options)


def _demo(options: argparse.Namespace) -> int:
    from check_user.cli.demo import demo

    return demo(options)


def _opensmtpd(options: argparse.Namespace) -> int:
    from check_user.cli.opensmtpd import opensmtpd

    return opensmtpd(options)


def _recipe(options: argparse.Namespace) -> int:
    from check_user.cli.recipe import print_recipe

    return print_recipe(options)


def _replica(options: argparse.Namespace) -> int:
    from check_user.cli.replica import replica

    return replica(options)


def _check(options: argparse.Namespace) -> int:
    import asyncio

    from check_user.app.doctor import examine

    findings = asyncio.run(examine(find(options.config)))
    for finding in findings:
        print(_line(finding))
    return int(any(finding.level is Level.ERROR for finding in findings))


def _line(finding: Finding) -> str:
    from check_user.telemetry import printable

    advice = f"; {finding.advice}" if finding.advice else ""
    return printable(f"{finding.level.value:7} {finding.subject}: {finding.message}{advice}")


def _config(options: argparse.Namespace) -> int:
    print(reference() if options.reference else in_force(load(find(options.config))), end="")
    return os.EX_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="check-user", description="Recipient verification for mail servers."
    )
    parser.add_argument("--version", action="version", version=f"check_user {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument("--config", metavar="FILE", help="the configuration file")

    serve = commands.add_parser("serve", parents=[configured], help="run every door")
    serve.set_defaults(run=_serve)

    ask = commands.add_parser(
        "lookup", parents=[configured], help="the verdict for each address", epilog=LOOKUP_CODES
    )
    ask.add_argument("addresses", nargs="+", metavar="ADDRESS", help="'-': a line each from stdin")
    ask.add_argument("--json", action="store_true", help="a JSON object a line")
    ask.add_argument("--explain", action="store_true", help="show the steps as well")
    ask.set_defaults(run=_lookup)

    check = commands.add_parser("check", parents=[configured], help="what is wrong, and what to do")
    check.set_defaults(run=_check)

    begin = commands.add_parser("init", help="look into a database and write the configuration")
    add_init_arguments(begin)
    begin.set_defaults(run=_init)

    play = commands.add_parser("demo", help="a sample database behind every door")
    play.set_defaults(run=_demo)

    child = commands.add_parser("opensmtpd", help="the filter that OpenSMTPD runs")
    child.add_argument(
        "door",
        nargs="?",
        default=LINE_DOOR,
        metavar="ADDRESS",
        help=f"the line door of check-user serve ({LINE_DOOR})",
    )
    child.set_defaults(run=_opensmtpd)

    snippets = commands.add_parser(
        "recipe", parents=[configured], help="what a mail server needs in order to ask"
    )
    mtas = "postfix, exim, sendmail, opensmtpd, haraka, qpsmtpd"
    snippets.add_argument("mail_server", metavar="MTA", help=mtas)
    snippets.add_argument("file", nargs="?", metavar="FILE", help="print this one alone")
    snippets.set_defaults(run=_recipe)

    local = commands.add_parser("replica", help="the local replica: build, status, verify")
    actions = local.add_subparsers(required=True, metavar="ACTION")
    for action, what in REPLICA_ACTIONS.items():
        each = actions.add_parser(action, parents=[configured], help=what, description=what)
        if action == "build":
            each.add_argument("--accept-loss", action="store_true", help=ACCEPT_LOSS)
        each.set_defaults(run=_replica, action=action)

    config = commands.add_parser("config", parents=[configured], help="the settings in force")
    config.add_argument("--reference", action="store_true", help="print every key instead")
    config.set_defaults(run=_config)
    return parser
