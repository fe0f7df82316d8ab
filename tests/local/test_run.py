"""What ``make run`` finds wrong with a request before Airflow starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_local.home import Home
from ocr_local.run import RunRequest, absolute_dataset, check_request
from ocr_pipeline.errors import DatasetError, DatasetMissingError, SettingsError

Check = Callable[..., None]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Checks a dataset, with ``tmp_path`` as the working folder."""
    monkeypatch.chdir(tmp_path)

    def check(dataset: str, **options: Any) -> None:
        nothing = dict.fromkeys(("image_column", "query", "output", "batch_size", "limit"))
        check_request(Home(tmp_path / "home"), dataset, RunRequest(**{**nothing, **options}))

    return check


def test_paths_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_dataset("a b.csv") == f"{tmp_path}/a b.csv"
    assert absolute_dataset("d/*.csv\ns3://b/c") == f"{tmp_path}/d/*.csv\ns3://b/c"


def test_local_datasets_are_opened(tmp_path: Path, check: Check) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.csv").write_text("image\n")
    (tmp_path / "b.csv").write_text("id\n")
    (tmp_path / "d" / "x.png").touch()
    for dataset in ("d/a.csv", "d/*.csv", "d", f"file://{tmp_path}/d/a.csv"):
        check(dataset)
    with pytest.raises(DatasetError, match="no column has a usual name"):
        check("b.csv")
    with pytest.raises(DatasetMissingError, match="no file matches"):
        check("*.tsv")


@pytest.mark.parametrize("dataset", ["https://h.example/d.csv", "s3://minio@bucket/*.csv", "gs://bucket/folder"])
def test_datasets_elsewhere_are_left_to_airflow(check: Check, dataset: str) -> None:
    check(dataset)
    check("sql:shop", query="SELECT image FROM links")


@pytest.mark.parametrize("dataset", ["ftp://h.example/d.csv", "s3:///d.csv", "https://", "gs://b/../c.csv"])
def test_addresses_of_no_form_are_refused(check: Check, dataset: str) -> None:
    with pytest.raises(DatasetError):
        check(dataset)
    with pytest.raises(SettingsError, match="query: is needed"):
        check("sql:shop")
