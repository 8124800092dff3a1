"""``serve``: every door of a configuration, in one process or in several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from check_user.app.process import prepare, run, spare_the_collector
from check_user.config import load


def serve(path: Path, started: Callable[[], None] = lambda: None) -> None:
    """Serve the configuration in ``path`` until SIGTERM or SIGINT; call ``started`` when it does.

    Raises ConfigError and Misconfigured (exit 78), Unavailable (exit 69).
    """
    prepare()

    def begun() -> None:
        spare_the_collector()
        started()

    async def main() -> None:
        workers = load(path).processes
        if workers == 1:
            from check_user.app.service import Service  # noqa: PLC0415 - it loads a driver

            await Service(path, begun).run()
        else:
            from check_user.app.supervisor import Supervisor  # noqa: PLC0415 - this doesn't

            await Supervisor(path, begun, workers).run()

    run(main())
