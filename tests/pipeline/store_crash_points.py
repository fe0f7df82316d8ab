"""Runs a small pipeline in a bucket again and again, killed at each of its changes to the store in turn.

``python -m tests.pipeline.store_crash_points FOLDER [EVERY]`` prints what :mod:`tests.pipeline.crash_points` prints.
The store stands behind a proxy, which kills the process when a chosen put or delete arrives: before the store has it at
odd points, after the store has it at even ones.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import boto3
import requests
from moto.server import ThreadedMotoServer

from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.settings.run import RunSettings
from tests.conftest import reading_with
from tests.pipeline.bucket_runs import TIMES
from tests.pipeline.crash_points import CountingEngine, draw_dataset, read_twice
from tests.storage.faulty_store import Fault, FaultyStore, StoreRequest


class Executioner:
    """Counts the changes that a process makes and kills it at number ``kill_at``; 0: never."""

    def __init__(self, kill_at: int) -> None:
        self.changes = 0
        self._kill_at = kill_at
        self._victim: int | None = None
        self._known = threading.Event()

    def take(self, victim: int) -> None:
        """Say which process it is."""
        self._victim = victim
        self._known.set()

    def judge(self, request: StoreRequest) -> Fault | None:
        """What becomes of a request of that process."""
        if not request.changes:
            return None
        self.changes += 1
        if self.changes != self._kill_at:
            return None
        self._known.wait()
        assert self._victim is not None
        os.kill(self._victim, signal.SIGKILL)
        return Fault.RESET if self._kill_at % 2 else Fault.ANSWER_LOST


def main() -> None:
    """Try every change, or each ``EVERY``-th."""
    folder = Path(sys.argv[1])
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    dataset = draw_dataset(folder)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with FaultyStore(endpoint) as store:
        attempt = partial(run_forked, store, endpoint, dataset)
        code, changes = attempt(folder / "undisturbed", kill_at=0)
        assert code == 0
        expected = results(endpoint, folder / "undisturbed")
        differences = []
        killed = 0
        for point in range(1, changes + 1, every):
            home = folder / f"killed-{point}"
            code, _ = attempt(home, kill_at=point)
            killed += code == -signal.SIGKILL
            again, _ = attempt(home, kill_at=0)
            if again:
                differences.append(f"change {point}: the second attempt ended with {again}")
            elif results(endpoint, home) != expected:
                differences.append(f"change {point}: the results differ")
            reread = read_twice(home)
            # What was read but not yet written down, while at most two checkpoints were.
            if len(reread) > 20:
                differences.append(f"change {point}: {len(reread)} images were read twice")
    print(json.dumps({"operations": changes, "killed": killed, "differences": differences}))


def run_forked(store: FaultyStore, endpoint: str, dataset: Path, home: Path, kill_at: int) -> tuple[int, int]:
    """Run the pipeline in a process that dies at its ``kill_at``-th change; its exit code and changes."""
    if not home.exists():
        home.mkdir()
        requests.put(f"{endpoint}/{home.name}", timeout=10).raise_for_status()
    executioner = Executioner(kill_at)
    store.judge = executioner.judge
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run_pipeline(home, dataset, store.url)
            code = 0
        finally:
            os._exit(code)
    executioner.take(child)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), executioner.changes


def run_pipeline(home: Path, dataset: Path, endpoint: str) -> None:
    """Plan, read two batches, merge."""
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    connection = Connection("store", "aws", login="key", password="secret", extra=extra)
    allowances = Allowances.parse([str(dataset.parent), f"s3://store@{home.name}"], lambda _: connection)
    settings = RunSettings(dataset=str(dataset), output=f"s3://{home.name}/out", batch_size=13, attempts=1)
    run = RunFolder.of(settings.output, "run", allowances)
    plan = plan_run(settings, run, allowances, max_batches=100)
    CountingEngine.log = home / "read"
    for batch in plan.batches:
        Batch(batch, allowances, reading_with(CountingEngine()), checkpoint_seconds=0.03).run()
    if not merge_run(run).complete:
        raise SystemExit(3)


def results(endpoint: str, home: Path) -> list[dict[str, str]]:
    """The merged results without what differs between any two runs."""
    # With boto3, as the client of the pipeline must not have been used in a process that is forked.
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    content = client.get_object(Bucket=home.name, Key="out/run/results.csv")["Body"].read()
    rows = csv.DictReader(io.StringIO(content.decode(), newline=""))
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


if __name__ == "__main__":
    main()
