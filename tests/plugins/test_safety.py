"""Airflow's side of what must not happen: secrets in a DAG, one file that takes others down, a folder taken for two."""

from __future__ import annotations

import json
import os
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from ocr_airflow.dags import ocr_dag
from ocr_airflow.datasets import declared_datasets
from ocr_airflow.deployment import allowances
from ocr_airflow.failing import TaskFailedForGood
from ocr_airflow.operators import RUN_KEY, PlanRunOperator, ReadBatchOperator
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from tests.pipeline.test_secrets import KEY, Site
from tests.plugins.test_dag import describe

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{later}: &{later} [{', '.join([f'*{earlier}'] * 10)}]\n"
    for earlier, later in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGE_BOMB = "a: &a {x: 1}\n" + "".join(
    f"{later}: &{later}\n  <<: [{', '.join([f'*{earlier}'] * 10)}]\n"
    for earlier, later in zip("abcdefghi", "bcdefghij", strict=True)
)
WRONG = {
    "contains itself": ("source: a\nsettings: &x\n  a: *x\n", "more than 10,000 values"),
    "merges itself": ("source: a\nsettings: &x\n  <<: *x\n", "more than 10,000 values"),
    "list of itself": ("source: a\ntags: &x [*x]\n", "more than 10,000 values"),
    "root of itself": ("&x\nsource: a\nsettings: *x\n", "more than 10,000 values"),
    "a thousand million values": (BOMB + "source: a\n", "more than 10,000 values"),
    "a thousand million merged values": (MERGE_BOMB + "source: a\n", "more than 10,000 values"),
    "too deep": ("source: " + 5000 * "[" + 5000 * "]" + "\n", "nested too deep"),
    "no mapping": ("!!set {source, a}\n", "AttributeError"),
    "tag that Airflow refuses": (f"source: a\ntags: [{200 * 'x'}]\n", "tag cannot be longer than 100"),
    "number of six thousand digits": (f"source: a\nretries: {6000 * '9'}\n", "4300 digits"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCR_DATASETS", str(tmp_path / "datasets"))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "good.yaml").write_text("source: /data/links.csv\n")
    return tmp_path / "datasets"


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_whatever_is_wrong_with_a_file_keeps_no_other_from_being_used(folder: Path, text: str, said: str) -> None:
    (folder / "wrong.yaml").write_text(text)
    started = time.monotonic()
    found = declared_datasets()
    assert time.monotonic() - started < 10
    assert [dataset.name for dataset in found.datasets] == ["good"]
    (problem,) = found.problems
    assert str(problem).startswith(f"{folder}/wrong.yaml:")
    assert said in str(problem)


def test_aliases_may_be_used(folder: Path) -> None:
    (folder / "good.yaml").write_text("source: &s /data/links.csv\ndescription: *s\nsettings: {languages: [en]}\n")
    (found,) = declared_datasets().datasets
    assert found.file.description == "/data/links.csv"


def test_files_that_cannot_be_read_are_errors_of_theirs(folder: Path) -> None:
    (folder / "gone.yaml").symlink_to(folder / "nothing")
    (folder / "dir.yaml").mkdir()
    found = declared_datasets()
    assert [dataset.name for dataset in found.datasets] == ["good"]
    assert len(found.problems) == 2


def test_airflow_still_finds_the_dags_of_the_other_files(folder: Path) -> None:
    for number, (text, _) in enumerate(WRONG.values()):
        (folder / f"wrong{number}.yaml").write_text(text)
    assert list(describe(folder.parent, "ocr_datasets.py", OCR_DATASETS=str(folder))) == ["good"]
    with pytest.raises(AssertionError, match=r"wrong0\.yaml"):
        describe(folder.parent, "refused_datasets.py", OCR_DATASETS=str(folder))


def test_a_file_that_is_refused_keeps_its_secrets(folder: Path) -> None:
    (folder / "wrong.yaml").write_text(
        f"source: 'https://u:{KEY}@h/{{{{ ds?sig={KEY}'\nretries: 'https://h/?sig={KEY}'\n"
        f"settings:\n  output: ['https://u:{KEY}@h/?{KEY}']\n  limit: 'https://u:{KEY}@h/'\n"
    )
    (problem,) = declared_datasets().problems
    assert len(str(problem).splitlines()) == 4
    assert KEY not in str(problem)


def test_an_output_folder_with_a_comma_is_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCR_OUTPUT", f"{tmp_path}/a,{tmp_path}/b, c")
    monkeypatch.setenv("AIRFLOW_VAR_OCR_ALLOW", f"10.0.0.0/8,{tmp_path}/d\\,e\n{tmp_path}/f")
    found = allowances()
    assert found.folders == (Path(f"{tmp_path}/a,{tmp_path}/b, c"), Path(f"{tmp_path}/d,e"), tmp_path / "f")
    assert not found.allows_path(tmp_path / "a")
    assert len(found.networks) == 1


class TaskInstance:
    """A task's first try; takes what it pushes."""

    try_number = 1
    max_tries = 0

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def test_the_login_of_a_scheduled_source_is_in_no_dag_and_no_plan_and_still_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.csv").write_text("image\nnone.png\nnone/../none.jpg\n")
    with Site(tmp_path) as site:
        monkeypatch.setenv("AIRFLOW_VAR_OCR_ALLOW", site.host)
        monkeypatch.setenv("OCR_OUTPUT", str(tmp_path / "out"))
        dag = ocr_dag("d", source=site.dataset("{{ file }}.csv"))
        assert KEY not in json.dumps(DagSerialization.to_dict(dag))
        context: Any = {
            "params": {"output": str(tmp_path / "out"), "attempts": 1},
            "dag": dag,
            "run_id": "r",
            "ti": (instance := TaskInstance()),
            "file": "d",
        }
        plan = dag.get_task("plan")
        assert isinstance(plan, PlanRunOperator)
        (batch,) = plan.execute(context)
        read = ReadBatchOperator(task_id="read", run=instance.pushed[RUN_KEY], batch=batch, dag=dag)
        context["task"] = read
        read.execute(context)
    run = RunFolder.open(instance.pushed[RUN_KEY], allowances())
    assert KEY not in run.plan.read_bytes().decode()
    assert Plan.load(run).base == f"http://{site.host}/"
    # Without the login it would be http_refused.
    assert run.staged(0).read_bytes().decode().count("not_found") == 2


def test_a_task_that_fails_says_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_OCR_ALLOW", str(tmp_path))
    context: Any = {"params": {"output": str(tmp_path / "out"), "attempts": 1}, "run_id": "r", "ti": TaskInstance()}
    for source in (f"http://u:{KEY}@127.0.0.1:1/d.csv?{KEY}", f"http://u:{KEY}@h/{{{{ ds.year }}}}.csv?{KEY}"):
        with pytest.raises(TaskFailedForGood) as refused:
            PlanRunOperator(task_id="plan", settings={"dataset": source}).execute(context)
        said = "".join(traceback.format_exception(refused.value))
        assert KEY not in "".join(line for line in said.splitlines() if not line.startswith("    "))
    assert KEY not in caplog.text
    assert os.listdir(tmp_path) == []
