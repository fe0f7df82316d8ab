"""Asks the installed Airflow what it makes of the services' environment, in which this runs as its own process.

Standard input: ``{"commands": [["scheduler"], ...]}``, arguments of ``airflow``. The answers go as JSON to the file
that the first argument names, because Airflow logs to standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow.api_fastapi.app import get_auth_manager_cls
from airflow.cli import cli_parser
from airflow.configuration import conf
from airflow.executors.executor_loader import ExecutorLoader
from kombu.connection import Connection
from sqlalchemy import make_url


def _refusal(parser: Any, command: list[str]) -> str | None:
    try:
        parser.parse_args(command)
    except SystemExit:
        return " ".join(command)
    return None


def main() -> None:
    question = json.load(sys.stdin)
    parser = cli_parser.get_parser()
    executor, _ = ExecutorLoader.import_default_executor_cls()
    answers = {
        "options": {section: sorted(body["options"]) for section, body in conf.configuration_description.items()},
        "executor": executor.__name__,
        "auth_manager": get_auth_manager_cls().__name__,
        "database_driver": make_url(conf.get_mandatory_value("database", "sql_alchemy_conn")).get_dialect().driver,
        "broker": Connection(conf.get_mandatory_value("celery", "broker_url")).get_transport_cls().driver_type,
        "refused_commands": [refused for command in question["commands"] if (refused := _refusal(parser, command))],
    }
    Path(sys.argv[1]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
