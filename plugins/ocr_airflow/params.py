"""The form that people fill in to trigger a run, made from the settings themselves."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from ocr_airflow.deployment import default_output
from ocr_pipeline.config import RunSettings

_SECTIONS = {
    "dataset": "What to read",
    "image_column": "What to read",
    "output": "What to read",
    "limit": "What to read",
    "engine": "Reading text",
    "model": "Reading text",
    "languages": "Reading text",
    "resize": "Reading text",
}
_OTHER_SECTION = "Fetching and batches"


def run_params(*, dataset_known: bool) -> dict[str, Param]:
    """A Param for every setting of a run, with its description, default and allowed values.

    :param dataset_known: whether the DAG has a dataset of its own, so that a run need not name one.
    """
    properties: dict[str, dict[str, Any]] = RunSettings.model_json_schema()["properties"]
    order = [*_SECTIONS, *(name for name in properties if name not in _SECTIONS)]
    params = {name: _param(name, dict(properties[name])) for name in order}
    params["output"] = _param("output", properties["output"] | {"default": default_output()})
    if dataset_known:
        optional = {"type": ["null", "string"], "default": None, "description": "Empty: the dataset of this DAG."}
        params["dataset"] = _param("dataset", properties["dataset"] | optional)
    return params


def _param(name: str, schema: dict[str, Any]) -> Param:
    options: list[dict[str, Any]] = schema.pop("anyOf", [])
    if options:
        schema["type"] = [option["type"] for option in options]
        for option in options:
            schema |= {key: value for key, value in option.items() if key != "type"}
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    schema["title"] = name.replace("_", " ").capitalize()
    arguments = {"default": schema.pop("default")} if "default" in schema else {}
    return Param(
        **arguments,
        description=schema.pop("description"),
        section=_SECTIONS.get(name, _OTHER_SECTION),
        **schema,
    )
