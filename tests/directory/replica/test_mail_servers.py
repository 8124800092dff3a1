"""The two tables as an interface: mail servers' own SQLite lookups, by the snippets of the page."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.directory.replica.keeping import Kept, domains, users
from tests.peers.exim import Exim
from tests.peers.packages import unpacked
from tests.peers.process import program

PAGE = Path(__file__).parents[3] / "docs" / "replica.md"
THERE = "/var/lib/check_user/replica.db"

ADDRESSES = {
    "anna@x.example": True,
    "Anna@X.Example": True,
    "o'brien@x.example": True,
    "emil@xn--bcher-kva.example": True,
    "former@x.example": False,
    "nobody@x.example": False,
    "' OR 1=1 --@x.example": False,
}


def snippets(word: str, path: Path) -> list[str]:
    """The page's code blocks with this word, for the replica at ``path``."""
    blocks = PAGE.read_text("utf-8").split("```")[1::2]
    return [block.strip().replace(THERE, str(path)) for block in blocks if word in block]


@pytest.fixture
async def replica(peer_folder: Path) -> Path:
    """A replica that mail servers may read."""
    kept = Kept(peer_folder)
    listed = [
        *users("anna", "o'brien"),
        ("former@x.example", "disabled"),
        ("emil@xn--bcher-kva.example", "known"),
    ]
    await kept.refresh(listed, domains("x.example", "xn--bcher-kva.example"))
    kept.path.chmod(0o644)
    return kept.path


def test_postfix(replica: Path) -> None:
    """Postfix finds who is known, and nobody else, by its own sqlite: maps."""
    recipients, ours = snippets("dbpath", replica)
    for text, snippet, expected in (
        *((text, recipients, is_known) for text, is_known in ADDRESSES.items()),
        ("X.example", ours, True),
        ("y.example", ours, False),
    ):
        file = replica.with_name("map.cf")
        file.write_text(snippet + "\n")
        os.utime(file, (1e9, 1e9))  # Postfix waits for a file that was just written
        done = subprocess.run(
            [program("postmap", "postfix"), "-q", text, f"sqlite:{file}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) is expected, (text, done)
        assert done.stdout.strip() == (text.lower() if expected else "")


def test_exim(replica: Path) -> None:
    """Exim finds the same by ``${lookup sqlite``."""
    exim = Exim(replica.parent, "", replica.parent)
    exim.program = unpacked("exim4-daemon-heavy") / "usr/sbin/exim4"
    text = exim.file.read_text()
    exim.file.write_text(f"sqlite_dbfile = {replica}\n{text}")
    (snippet,) = snippets("lookup sqlite", replica)
    for address, is_known in ADDRESSES.items():
        local, _, domain = address.rpartition("@")
        asked = snippet.replace("$local_part", local.replace("$", "")).replace("$domain", domain)
        done = subprocess.run(
            exim.with_arguments("-be", asked), capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == (address.lower() if is_known else ""), (address, done)


def test_readers_without_rights(replica: Path) -> None:
    """Who may only read the file can: it has no journal and no lock that would have to be made."""
    read = (
        "import sqlite3, sys; replica = sqlite3.connect(sys.argv[1], uri=True); "
        "print(*replica.execute('SELECT count(*) FROM recipients').fetchone())"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", read, f"file:{replica}?mode=ro"],
        capture_output=True,
        text=True,
        check=True,
        user="nobody",
        cwd="/",
    )
    assert done.stdout.strip() == "4"
