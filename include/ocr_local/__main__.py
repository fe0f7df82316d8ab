"""The commands behind ``make run``, ``make up`` and ``make down``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from ocr_local.airflow import LocalAirflowError, attached, find_running, start_detached, stop
from ocr_local.home import CHECKOUT, USER, Home
from ocr_local.run import RunFailedError, RunRequest, check_request, run_dataset, run_demo
from ocr_pipeline.errors import OcrPipelineError

HOME = Path(os.environ.get("OCR_LOCAL_HOME", CHECKOUT / ".airflow"))
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
            _up(home, console)
        elif arguments.command == "down":
            console.print("Airflow is stopped." if stop(home) else "Airflow was not running.")
        else:
            _run(home, arguments, console)
    except (LocalAirflowError, OcrPipelineError, RunFailedError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped. What was finished is kept; a new run starts afresh.")
        return 130
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ocr_local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start Airflow and keep it running")
    commands.add_parser("down", help="stop it")
    run = commands.add_parser("run", help="run the demo or a dataset")
    run.add_argument("--dataset", help="file of rows, glob, folder of images or URI; the demo when not given")
    run.add_argument("--image-column", help="column with the links; guessed when not given")
    run.add_argument("--output", type=Path, help="folder for the results")
    run.add_argument("--batch-size", type=int, help="rows a task reads")
    run.add_argument("--limit", type=int, help="read only the first rows")
    run.add_argument("--allow", default="", help="folders and networks that may be read, separated by commas")
    return parser.parse_args()


def _up(home: Home, console: Console) -> None:
    running = find_running(home)
    if running is None:
        with console.status("Starting Airflow ...") as status:
            running = start_detached(home, lambda s: status.update(f"Starting Airflow ... {s:.0f} s"))
    console.print(f"Airflow is up at {running.url}")
    console.print(f"  user {USER}, password {home.secrets().password}", markup=False)
    console.print(f"  trigger a run: {running.url}/dags/ocr_images")
    console.print("  stop it: make down")


def _run(home: Home, arguments: argparse.Namespace, console: Console) -> None:
    request = RunRequest(
        image_column=arguments.image_column,
        output=arguments.output,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
        allow=arguments.allow,
    )
    check_request(home, arguments.dataset, request)
    with ExitStack() as running_airflow:
        with console.status("Starting Airflow ...") as status:
            starting = attached(home, lambda s: status.update(f"Starting Airflow ... {s:.0f} s"))
            running = running_airflow.enter_context(starting)
        if arguments.dataset:
            run_dataset(home, running, arguments.dataset, request, console)
        else:
            run_demo(home, running, DEMO, request, console)


if __name__ == "__main__":
    sys.exit(main())
