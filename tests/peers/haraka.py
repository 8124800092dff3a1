"""Haraka 3.3 from npm, in versions and with hashes that ``npm/package-lock.json`` pins.

It is installed once into the checkout's ``.cache/haraka/``, without the optional plugins and
without any package's scripts. 127.0.0.2 may relay, and it asks no
DNS. Nothing is queued.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.peers.namespace import in_namespace
from tests.peers.process import Server, free_port, program
from tests.peers.smtp import OUR_DOMAINS, RELAY_CLIENT, Session

PINNED = Path(__file__).parent / "npm"
CACHE = Path(__file__).parents[2] / ".cache" / "haraka"
INSTALL_LIMIT = 300.0
"""Seconds for npm; it takes 10 to 15."""

PEER = f"""\
exports.hook_lookup_rdns = (next) => next(OK, 'localhost')
exports.hook_connect = (next, connection) => {{
    connection.relaying = connection.remote.ip === '{RELAY_CLIENT}'
    next()
}}
"""


class NotInstalledError(Exception):
    """npm could not install Haraka; the message holds what it said."""


def installed(pinned: Path = PINNED) -> Path:
    """Give the ``node_modules`` that ``pinned`` describes, installed once.

    Raises NotInstalledError.
    """
    lock = pinned / "package-lock.json"
    tree = CACHE / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if not tree.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            made = Path(work) / "tree"
            made.mkdir(mode=0o755)
            for file in pinned.iterdir():
                shutil.copy(file, made)
            _install(made)
            try:
                made.rename(tree)
            except OSError:  # another run was faster
                shutil.rmtree(made)
    return tree / "node_modules"


def _install(folder: Path) -> None:
    options = ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        [program("npm", "npm"), "ci", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_LIMIT,
        check=False,
    )
    if done.returncode:
        raise NotInstalledError(f"npm ci:\n{done.stderr}")


class Haraka(Server):
    """One instance. ``contrib`` is the folder of what an operator installs, taken as it is.

    ``run`` is its /run/check_user; ``before`` are further plugins (files), called first.
    """

    def __init__(
        self, folder: Path, contrib: Path, run: Path, *, before: Sequence[Path] = ()
    ) -> None:
        super().__init__(folder)
        self.port = free_port()
        package = installed() / "Haraka"
        self.program = package / "bin" / "haraka"
        self.run = run
        config, plugins = folder / "config", folder / "plugins"
        for each in (config, plugins, folder / "queue"):
            each.mkdir()
        (plugins / "peer.js").write_text(PEER)
        for file in (contrib / "check_user.js", *before):
            shutil.copy(file, plugins)
        shutil.copy(contrib / "check_user.ini", config)
        shutil.copy(package / "config" / "connection.ini", config)
        names = ["peer", *(file.stem for file in before), (contrib / "plugins").read_text()]
        settings = {
            "me": "mx.example",
            "plugins": "\n".join(names),
            "host_list": "\n".join(OUR_DOMAINS),
            "smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=0",
            "log.ini": "[main]\nlevel=debug",
        }
        for name, text in settings.items():
            (config / name).write_text(text + "\n")

    def command(self) -> list[str]:
        node = [program("node", "nodejs"), str(self.program), "-c", str(self.folder)]
        return in_namespace(node, {"/run/check_user": self.run})

    def answers(self) -> bool:
        try:
            with Session(self.port) as session:
                return session.greeting[0] == 220
        except OSError:
            return False
