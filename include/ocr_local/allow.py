"""What runs of the local Airflow may touch: whatever its person names, who could read it anyway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ocr_local.api import AirflowApi
from ocr_local.home import Home
from ocr_local.locks import exclusive
from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.deployment import ALLOW_VARIABLE, Allowances, Connection, join_allowed, split_allowed


def parse_allowed(text: str) -> list[str]:
    """The entries that the command line names; folders may be relative to where the command runs.

    A folder with commas in its name, given alone, is one entry.

    :raises SettingsError: when an entry is of no known form, or names a folder that is not there.
    """
    entries = [text] if Path(text).is_dir() and text else split_allowed(text)
    found = [str(absolute(entry)) if Path(entry).is_dir() else entry for entry in entries]
    Allowances.parse(found, _looked_up_later)
    for entry in found:
        # It would stay among what runs may touch, and allow what is put there some day.
        if entry.startswith(("/", "~")) and not absolute(entry).exists():
            raise SettingsError(f"ALLOW: there is no folder {entry}: correct its name, or make the folder first")
    return found


def absolute(path: str) -> Path:
    """``path``, which may be relative to where the command runs, without links."""
    return Path(path).expanduser().resolve()


def allow(home: Home, api: AirflowApi, entries: Iterable[str]) -> list[str]:
    """Add entries to what runs of this Airflow may touch; returns those that were not among it."""
    with exclusive(home.path / "allow.lock"):
        known = split_allowed(api.variable(ALLOW_VARIABLE))
        new = [entry for entry in dict.fromkeys(entries) if entry not in known]
        if new:
            api.set_variable(ALLOW_VARIABLE, join_allowed([*known, *new]))
    return new


@contextmanager
def allowed_meanwhile(home: Home, api: AirflowApi, entry: str) -> Iterator[None]:
    """Allow ``entry`` for the duration of the block."""
    new = allow(home, api, [entry])
    try:
        yield
    finally:
        if new:
            with exclusive(home.path / "allow.lock"):
                known = split_allowed(api.variable(ALLOW_VARIABLE))
                api.set_variable(ALLOW_VARIABLE, join_allowed(other for other in known if other != entry))


def _looked_up_later(name: str) -> Connection:
    """Stands in for a connection that only Airflow knows."""
    return Connection(name, "http", "localhost")
