"""The form that people fill in to trigger a run, made from the settings themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from ocr_airflow.deployment import default_output
from ocr_pipeline.settings.addresses import shown_dataset
from ocr_pipeline.settings.languages import CODES
from ocr_pipeline.settings.run import CatalogSettings, FetchSettings, ReadSettings, RunSettings

_FIRST = ("dataset", "image_column", "output", "languages", "batch_size", "limit", "preview")
"""What most runs set, shown at once and in this order; the rest is folded away by stage."""

_DATASET = ("query", "format", "encoding", "csv_escape", "csv_comment", "bad_rows")

_EXAMPLES = {
    "dataset": ["/data/products.csv", "s3://bucket/drops/*.parquet", "https://example.org/links.csv", "sql:warehouse"],
    "image_column": ["image_url", "photo"],
    "output": ["/data/ocr", "s3://bucket/ocr"],
    "query": ["SELECT id, photo FROM products WHERE added >= '2026-01-01'"],
    "languages": list(CODES),
    "device": ["cpu", "gpu", "gpu:1"],
}
"""What the form proposes."""

_REFUSES = {
    # As a comment in the pattern, which Airflow quotes, so that people read what is asked for.
    "dataset": r"^(?#an absolute path, an address such as https://host/file or s3://bucket/file, or sql:CONNECTION; "
    r"or a JSON list of such)\s*(\[|/|~|file:|sql:|[Hh][Tt][Tt][Pp][Ss]?://|[Ss]3://|[Gg][Ss]://)",
    "output": r"^(?#an absolute path, or an address such as s3://bucket/prefix or gs://bucket/prefix)"
    r"\s*(/|~|[Ss]3://|[Gg][Ss]://)",
}
"""What is asked of a value before the run starts; the run itself asks more."""


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
    for option in options:
        schema |= {key: value for key, value in option.items() if value != "null"}
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if name == "languages":
        schema["items"] |= {"enum": list(CODES)}
    if name in _REFUSES:
        schema["pattern"] = _REFUSES[name]
    if name in _EXAMPLES:
        schema["examples"] = _EXAMPLES[name]
    if section := _section(name):
        schema["section"] = section
    if "default" in schema:
        _allow_nothing(schema)
    arguments = {"default": schema.pop("default")} if "default" in schema else {}
    return Param(**arguments, description=schema.pop("description"), **schema)


def _allow_nothing(schema: dict[str, Any]) -> None:
    """Let a field that has a default be left empty, which the form gives as null: it gets no red star then."""
    if schema["type"] != "boolean":
        schema["type"] = [schema["type"], "null"] if isinstance(schema["type"], str) else schema["type"]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
        schema["values_display"] = {**schema.get("values_display", {}), "null": f"the default, {schema['default']}"}


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
