"""The source of a scheduled dataset as a template: what is wrong with it is found before a run is planned."""

from __future__ import annotations

from airflow.sdk import DAG, Context
from jinja2 import TemplateSyntaxError, meta

from ocr_airflow.intervals import INTERVAL_NAMES
from ocr_pipeline.settings.suggestions import unknown_name


def check_template(source: str) -> str:
    """``source`` itself, if every name and filter in it is one that a run may have.

    :raises ValueError: naming those that nobody knows, or saying why it cannot be understood.
    """
    environment = DAG("template", auto_register=False).get_template_env()
    try:
        parsed = environment.parse(source)
        environment.compile(parsed)
    except TemplateSyntaxError as error:
        raise ValueError(f"the template cannot be understood: {error.message}") from None
    names = {*INTERVAL_NAMES, *Context.__annotations__}
    unknown = sorted(meta.find_undeclared_variables(parsed) - names - set(environment.globals))
    if unknown:
        raise ValueError("; ".join(f"{{{{ {name} }}}}: {unknown_name('name', name, names)}" for name in unknown))
    return source
