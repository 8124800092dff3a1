"""The log: where it goes, and how its lines look."""

from __future__ import annotations

from check_user.config import Settings
from check_user.telemetry import Journal, Level, writer

STDERR = 2


def journal_of(settings: Settings) -> Journal:
    """The log that the settings describe."""
    return Journal(
        STDERR,
        level=Level[settings.log_level.upper()],
        write_as=writer(settings.log_format, STDERR),
    )


def set_log(journal: Journal, settings: Settings) -> None:
    """Change an open log to what the settings describe."""
    journal.level = Level[settings.log_level.upper()]
    journal.write_as = writer(settings.log_format, STDERR)
