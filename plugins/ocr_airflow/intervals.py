"""The day that a run is about: the names by which a source speaks of it, and when the next one is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, CronDataIntervalTimetable
from croniter import croniter

INTERVAL_NAMES = ("day", "interval_start", "interval_end")
"""What :func:`interval_names` gives."""

NEVER = datetime.fromisoformat("9999-12-31T00:00:00+00:00")
"""When a day is over that does not come."""


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
    return dict(zip(INTERVAL_NAMES, (begins.date(), begins, ends), strict=True))


def next_due(dag: DAG, context: Mapping[str, Any]) -> datetime | None:
    """When the interval after the one that the run is about is over, so that the next run starts.

    None where nothing says so: without a schedule by time, and for a run that was told to read something else or only a
    preview, whose interval is not done.
    """
    timetable, end, params = dag.timetable, context.get("data_interval_end"), context["params"]
    if not isinstance(timetable, CronDataIntervalTimetable) or end is None:
        return None
    if params.get("dataset") or params.get("preview"):
        return None
    if dag.end_date and end > dag.end_date:
        return NEVER
    start = end.astimezone(ZoneInfo(str(timetable.timezone)))
    found: datetime = croniter(timetable.expression, start).get_next(datetime)
    return found
