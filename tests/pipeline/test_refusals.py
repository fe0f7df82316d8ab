"""Outputs that only a person can mend: each task says so at once, in a sentence, and is not tried again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from airflow.sdk import BaseOperator

from ocr_airflow.failing import TaskFailed, TaskFailedForGood, task_errors
from ocr_pipeline.errors import StorageRefusedError
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.storage.disk import LocalFolder
from ocr_pipeline.storage.opening import open_folder
from tests.conftest import local_path
from tests.misbehaving_server import MisbehavingServer
from tests.pipeline.bucket_runs import plan, read_all, results
from tests.storage.faulty_store import Fault, FaultyStore

STEPS = ("plan", "read", "merge")


def run_until(step: str, dataset: Path, output: str, allowances: Allowances) -> Callable[[], object]:
    """Do what comes before ``step`` of a run; gives what does the step."""
    if step == "plan":
        return lambda: plan(dataset, output, allowances)
    run, planned = plan(dataset, output, allowances)
    if step == "read":
        return lambda: read_all(planned, allowances)
    read_all(planned, allowances)
    return lambda: merge_run(run)


def refuse(act: Callable[[], object], said: str) -> None:
    """The step is refused without waiting, as Airflow fails a task that it does not retry."""
    started = time.monotonic()
    with pytest.raises(TaskFailedForGood, match=said) as failed, task_errors(BaseOperator(task_id="step")):
        act()
    assert time.monotonic() - started < 20
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


def in_the_way(step: str, output: Path) -> Path:
    """What to put into the way of ``step``, of another kind than what it is to write there."""
    places = {"plan": output, "read": output / "run" / "checkpoints", "merge": output / "run" / "results.csv"}
    place = places[step]
    place.mkdir() if step == "merge" else place.write_text("in the way")
    return place


@pytest.mark.parametrize("step", STEPS)
def test_what_is_in_the_way_on_a_disk_is_said(
    step: str, dataset: Path, tmp_path: Path, allowances: Allowances, expected: list[dict[str, str]]
) -> None:
    output = tmp_path / "out"
    act = run_until(step, dataset, str(output), allowances)
    place = in_the_way(step, output)
    refuse(act, rf"^cannot (write|make folder) {output}.*: (Not|Is) a directory; correct the place or the rights")
    place.rmdir() if step == "merge" else place.unlink()
    act()
    run, planned = plan(dataset, str(output), allowances)
    read_all(planned, allowances)
    merge_run(run)
    assert results(run) == expected


@pytest.mark.parametrize("step", STEPS)
def test_a_bucket_that_refuses_is_said(
    step: str, dataset: Path, bucket: str, tmp_path: Path, s3_connection: Connection, s3_endpoint: str
) -> None:
    with FaultyStore(s3_endpoint) as store:
        connection = replace(s3_connection, extra={**s3_connection.extra, "endpoint_url": store.url})
        allowed = Allowances.parse(f"{tmp_path},s3://minio@{bucket}", lambda _: connection)
        act = run_until(step, dataset, f"s3://{bucket}/out", allowed)
        store.judge = lambda request: Fault.REFUSED if request.changes else None
        refuse(act, rf"^cannot write s3://{bucket}/out/.*it answered HTTP 403 .*; give the credentials the right")
        store.judge = lambda request: Fault.REFUSED
        refuse(act, rf"s3://{bucket}/out/.*it answered HTTP 403")
        store.judge = lambda request: None
        act()


@pytest.mark.parametrize("step", STEPS)
def test_a_bucket_that_is_not_there_is_said(
    step: str, dataset: Path, bucket: str, tmp_path: Path, s3_connection: Connection, s3_endpoint: str
) -> None:
    allowed = Allowances.parse(f"{tmp_path},s3://minio@{bucket}", lambda _: s3_connection)
    act = run_until(step, dataset, f"s3://{bucket}/out", allowed)
    open_folder(f"s3://{bucket}", allowed).clear()
    requests.delete(f"{s3_endpoint}/{bucket}", timeout=10).raise_for_status()
    refuse(act, "NoSuchBucket.*make the bucket or correct its name")


@pytest.mark.parametrize("bucket", ["status", "redirect-loop"])
def test_a_store_that_can_never_answer_is_not_asked_again(
    bucket: str, dataset: Path, tmp_path: Path, s3_connection: Connection
) -> None:
    with MisbehavingServer() as server:
        connection = replace(s3_connection, extra={"endpoint_url": server.origin, "region_name": "us-east-1"})
        allowed = Allowances.parse(f"{tmp_path},s3://minio@{bucket}", lambda _: connection)
        output = f"s3://{bucket}/code=400" if bucket == "status" else f"s3://{bucket}/out"
        refuse(lambda: plan(dataset, output, allowed), "correct the bucket's address, its connection or")


def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    task = BaseOperator(task_id="step")
    with pytest.raises(TaskFailed, match=r"gone is gone; free or fix it, then retry") as caught, task_errors(task):
        LocalFolder(tmp_path / "gone").file("a").write_bytes(b"")
    assert not isinstance(caught.value, TaskFailedForGood)
    assert caught.value.__suppress_context__


def test_rights_that_lack_are_said(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "closed")
    folder.create()
    folder.file("a").write_bytes(b"1")
    with ExitStack() as undo:
        if os.getuid() == 0:  # whom the file system refuses nothing
            undo.callback(os.seteuid, 0)
            os.chmod(tmp_path, 0o755)
            os.seteuid(65534)
        else:
            undo.callback(local_path(folder).chmod, 0o700)
            local_path(folder).chmod(0o000)
        for name in ("b", "c/d"):
            with pytest.raises(StorageRefusedError, match=r"Permission denied; correct the place or the rights"):
                folder.file(name).write_bytes(b"2")
