"""Other files where a server looks for them: a mount namespace of its own (mount_namespaces(7)).

For servers from :mod:`tests.peers.packages` that have a path or an account compiled in, and for
snippets that name a path: ``/run`` is empty but for what is put there, and further files and
folders can be laid over those of the host. The host itself sees nothing of it, and it ends with
the server's last process. Needs root (CAP_SYS_ADMIN).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

HOST = "mx.example"
"""The host name that a server sees; Sendmail waits a minute for one without a dot."""

SCRIPT = """\
hostname "$1"
mount -t tmpfs -o mode=755 tmpfs /run
shift
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$2"; fi
    mount --bind "$1" "$2"
    shift 2
done
shift
exec "$@"
"""


def in_namespace(command: Sequence[str], seen: Mapping[str, Path]) -> list[str]:
    """A command line that runs ``command`` where each path of ``seen`` shows that file or folder.

    The process keeps its pid all the way down to the command.
    """
    pairs = [text for path, source in seen.items() for text in (str(source), path)]
    return ["unshare", "--mount", "--uts", "sh", "-ec", SCRIPT, "sh", HOST, *pairs, "--", *command]
