"""The commands behind ``make run``, ``make retry``, ``make up``, ``make down`` and ``make airflow``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from ocr_local.airflow import DAG_ID, LocalAirflowError, Say, airflow_for, connect, run_airflow, stop
from ocr_local.allow import allow, parse_allowed
from ocr_local.api import ApiError
from ocr_local.home import CHECKOUT, USER, Home
from ocr_local.retry import RetryError, retry_run
from ocr_local.run import RunFailedError, RunRequest, RunStopped, check_request, run_dataset, run_demo
from ocr_pipeline.errors import OcrPipelineError

HOME = Path(os.environ.get("OCR_LOCAL_HOME", CHECKOUT / ".airflow")).absolute()
DEMO = CHECKOUT / ".demo"


def main() -> int:
    """Run one command; returns the exit code."""
    arguments = _parse()
    console = Console(highlight=False)
    # SIGTERM ends the command as Ctrl-C does: by unwinding, so that everything it started is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home = Home(HOME)
    try:
        if arguments.command == "up":
            _up(home, parse_allowed(arguments.allow), console)
        elif arguments.command == "down":
            console.print("Airflow is stopped." if stop(home) else "Airflow was not running.")
        elif arguments.command == "retry":
            with airflow_for(home, _steps(console)) as running:
                retry_run(home, running, arguments.dag, arguments.run, console)
        elif arguments.command == "airflow":
            return run_airflow(home, arguments.args)
        else:
            _run(home, arguments, console)
    except (ApiError, LocalAirflowError, OcrPipelineError, RetryError, RunFailedError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    except RunStopped as stopped:
        console.print(f"\n{stopped}", markup=False, soft_wrap=True)
        return 130
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 130
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ocr_local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start Airflow and keep it running")
    commands.add_parser("down", help="stop it")
    run = commands.add_parser("run", help="run the demo or a dataset")
    run.add_argument("--dataset", help="file of rows, glob, folder of images or URI; the demo when not given")
    run.add_argument("--image-column", help="column with the links; guessed when not given")
    run.add_argument("--query", help="SQL query of a dataset sql:CONNECTION")
    run.add_argument("--output", help="folder for the results, or s3://bucket/prefix, gs://bucket/prefix")
    run.add_argument("--batch-size", type=int, help="rows a task reads")
    run.add_argument("--limit", type=int, help="read only the first rows")
    for command in (up, run):
        command.add_argument(
            "--allow", default="", help="what runs may touch: folders and networks, separated by commas"
        )
    airflow = commands.add_parser("airflow", help="give the running Airflow a command of its own command line")
    airflow.add_argument("--args", default="", help="what follows `airflow`, as in a shell")
    retry = commands.add_parser("retry", help="try the failed batches and images of a run again, in place")
    retry.add_argument("--run", required=True, help="the run, such as demo-20260102-030405")
    retry.add_argument("--dag", default=DAG_ID, help="its DAG, when a scheduled dataset has one of its own")
    return parser.parse_args()


def _steps(console: Console) -> Say:
    """Prints the steps of starting Airflow, each when it begins."""

    def say(step: str) -> None:
        console.print(f"Airflow: {step} ...", markup=False, soft_wrap=True)

    return say


def _up(home: Home, entries: list[str], console: Console) -> None:
    with airflow_for(home, _steps(console), keep=True) as running:
        allow(home, connect(home, running), entries)
    console.print(f"Airflow is up at {running.url}")
    console.print(f"  user {USER}, password {home.secrets().password}", markup=False)
    console.print(f"  trigger a run: {running.url}/dags/{DAG_ID}")
    console.print("  stop it: make down")


def _run(home: Home, arguments: argparse.Namespace, console: Console) -> None:
    request = RunRequest(
        image_column=arguments.image_column,
        query=arguments.query,
        output=arguments.output,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
        allow=tuple(parse_allowed(arguments.allow)),
    )
    check_request(home, arguments.dataset, request)
    with airflow_for(home, _steps(console)) as running:
        if arguments.dataset:
            run_dataset(home, running, arguments.dataset, request, console)
        else:
            run_demo(home, running, DEMO, request, console)


if __name__ == "__main__":
    sys.exit(main())
