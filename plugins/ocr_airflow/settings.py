"""What a run is told: by the author of its DAG, and by whoever triggers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from jinja2 import UndefinedError

from ocr_airflow.intervals import interval_names
from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.addresses import shown_dataset

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context


def run_settings(task: BaseOperator, own: Mapping[str, Any], context: Context, timezone: str) -> dict[str, Any]:
    """``own``, the DAG author's settings, overlaid with the params that the run gives a value.

    Templates in the former are rendered, in the latter not. Only what is used is: a run without a logical
    date has none to put into a dataset that it does not read.

    :param timezone: that of the dataset, in which templates have their ``day``.
    :raises SettingsError: when a template needs what the run does not have.
    """
    given = {name: value for name, value in context["params"].items() if value not in (None, "")}
    used = {name: value for name, value in own.items() if name not in given}
    names = cast("Context", {**context, **interval_names(context, timezone)})
    try:
        return {**task.render_template(used, names), **given}
    except UndefinedError as error:
        why = f"{', '.join(shown_dataset(str(value)) for value in used.values())} cannot be filled in ({error})"
        if context.get("logical_date"):
            raise SettingsError(f"{why}: correct the template, or name the run's dataset") from None
        raise SettingsError(
            f"{why}: this run has no logical date, so it has no day, no ds and no data_interval_start either; a run "
            "that an asset starts never has. Take the source from triggering_asset_events, trigger the run with a "
            "logical date, or name its dataset"
        ) from None
