"""Asks the installed Airflow, in the environment of the services, what it makes of it; prints the answers as JSON.

Standard input: ``{"commands": [["scheduler"], ...]}``, arguments of ``airflow``. It runs in a process of its own
because Airflow reads its configuration once, when it is imported.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

from airflow.cli import cli_parser
from airflow.configuration import conf
from airflow.executors.executor_loader import ExecutorLoader
from airflow.utils.module_loading import import_string
from kombu import Connection
from sqlalchemy import make_url


def _refusal(parser: Any, command: list[str]) -> str | None:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            parser.parse_args(command)
    except SystemExit:
        return " ".join(command)
    return None


def main() -> None:
    question = json.load(sys.stdin)
    parser = cli_parser.get_parser()
    executor, _ = ExecutorLoader.import_default_executor_cls()
    json.dump(
        {
            "options": {section: sorted(body["options"]) for section, body in conf.configuration_description.items()},
            "executor": executor.__name__,
            "auth_manager": import_string(conf.get_mandatory_value("core", "auth_manager")).__name__,
            "database_driver": make_url(conf.get_mandatory_value("database", "sql_alchemy_conn")).get_dialect().driver,
            "broker": Connection(conf.get_mandatory_value("celery", "broker_url")).get_transport_cls().driver_type,
            "refused_commands": [refused for command in question["commands"] if (refused := _refusal(parser, command))],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
