"""The names by which a source speaks of the day that a run is about, in the time zone of its dataset."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo


def interval_names(context: Mapping[str, Any], timezone: str) -> dict[str, date]:
    """What templates may use besides Airflow's own names; empty for a run that has no data interval.

    ``interval_start`` and ``interval_end`` are the bounds of the run's data interval as datetimes in ``timezone``,
    ``day`` the date on which it begins there. They are the same for a scheduled run, a backfill, and a run by hand of
    the same interval; Airflow's ``ds`` is in UTC, and in a run by hand the day on which somebody pressed a button.
    """
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is None or end is None:
        return {}
    zone = ZoneInfo(timezone)
    begins, ends = start.astimezone(zone), end.astimezone(zone)
    return {"day": begins.date(), "interval_start": begins, "interval_end": ends}
