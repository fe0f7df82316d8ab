"""The form that people fill in to trigger a run, made from the settings themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from ocr_airflow.deployment import default_output
from ocr_pipeline.settings.addresses import shown_dataset
from ocr_pipeline.settings.run import CatalogSettings, FetchSettings, ReadSettings, RunSettings

_FIRST = ("dataset", "image_column", "output", "limit", "languages")
"""What most runs set, shown at once and in this order; the rest is folded away by stage."""

_DATASET = ("query", "format", "encoding", "bad_rows")


def run_params(*, source: str | None, defaults: Mapping[str, Any] | None = None) -> dict[str, Param]:
    """A Param for every setting of a run, with its description, default and allowed values.

    :param source: the DAG's own dataset, as its author wrote it, where a run need not name one.
    :param defaults: values that take the place of the settings' own defaults.
    """
    properties: dict[str, dict[str, Any]] = RunSettings.model_json_schema()["properties"]
    properties["output"]["default"] = default_output()
    for name, value in (defaults or {}).items():
        properties[name]["default"] = value
    order = [*_FIRST, *(name for name in properties if name not in _FIRST)]
    params = {name: _param(name, dict(properties[name])) for name in order}
    if source:
        description = f"Empty: the dataset of this DAG, {shown_dataset(source)}"
        optional = {"type": ["null", "string"], "default": None, "description": description}
        params["dataset"] = _param("dataset", properties["dataset"] | optional)
    return params


def _param(name: str, schema: dict[str, Any]) -> Param:
    options: list[dict[str, Any]] = schema.pop("anyOf", [])
    if options:
        schema["type"] = [option["type"] for option in options]
        for option in options:
            schema |= {key: value for key, value in option.items() if key != "type"}
    elif schema["type"] == "array":
        # The form gives null for a list that is left empty.
        schema["type"] = ["array", "null"]
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    schema["title"] = name.replace("_", " ").capitalize()
    if section := _section(name):
        schema["section"] = section
    arguments = {"default": schema.pop("default")} if "default" in schema else {}
    return Param(**arguments, description=schema.pop("description"), **schema)


def _section(name: str) -> str | None:
    if name in _FIRST:
        return None
    if name in _DATASET:
        return "Reading the dataset"
    if name in FetchSettings.model_fields:
        return "Fetching images"
    if name in CatalogSettings.model_fields:
        return "Only what is new"
    return "Reading text" if name in ReadSettings.model_fields else "Batches and results"
