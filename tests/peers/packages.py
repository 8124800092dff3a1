"""Debian packages unpacked beside the system: mail servers that exclude each other when installed.

Postfix, Exim, Sendmail and OpenSMTPD each claim to be *the* mail server, so that installing one
removes another. ``dpkg -x`` only unpacks (dpkg-deb(1)): no maintainer script runs, no account is
made, nothing starts. What is unpacked stays in the checkout's ``.cache/packages/``, one folder for
each list of packages; delete it to fetch newer ones.

The libraries that they need are ordinary packages (``debian.sh`` installs them) or are named in the
list and found in the tree by whoever starts the server.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "packages"

FETCH_LIMIT = 300.0
"""Seconds for the download of one list of packages."""


class NotFetchedError(Exception):
    """The packages could not be downloaded; the message holds what apt said."""


def unpacked(*packages: str) -> Path:
    """Give the root of a tree (``usr``, ``etc``, ``var``) that holds ``packages``, fetched once.

    The tree is shared between tests and between runs: read it, don't write to it. Raises
    NotFetchedError.
    """
    tree = CACHE / "+".join(packages)
    if tree.exists():
        return tree
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        made = Path(work) / "tree"
        made.mkdir(mode=0o755)
        for file in _downloaded(packages, Path(work)):
            subprocess.run(["dpkg", "-x", file, made], check=True)
        try:
            made.rename(tree)
        except OSError:  # another run was faster
            shutil.rmtree(made)
    return tree


def _downloaded(packages: tuple[str, ...], folder: Path) -> list[Path]:
    done = subprocess.run(
        ["apt-get", "download", "-q", *packages],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=FETCH_LIMIT,
        check=False,
    )
    if done.returncode:
        raise NotFetchedError(f"apt-get download (run apt-get update before?):\n{done.stderr}")
    return sorted(folder.glob("*.deb"))
