"""What ``make run`` says of an output before it starts Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocr_local.home import Home
from ocr_local.run import RunRequest, check_request
from ocr_pipeline.errors import SettingsError, StorageRefusedError


def request(output: str) -> RunRequest:
    return RunRequest(image_column=None, query=None, output=output, batch_size=None, limit=None)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials of the server that speaks S3, as ``make run`` takes them."""
    values = {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "REGION": "us-east-1", "ENDPOINT_URL": s3_endpoint}
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)


def test_a_folder_may_be_relative_and_a_bucket_is_left_as_it_is(home: Home) -> None:
    assert request("out").settings(home)["output"] == str(Path.cwd() / "out")
    assert request("s3://bucket/out").settings(home)["output"] == "s3://bucket/out"


@pytest.mark.usefixtures("environment")
def test_a_bucket_is_looked_for_first(home: Home, bucket: str) -> None:
    check_request(home, None, request(f"s3://{bucket}/out"))
    with pytest.raises(StorageRefusedError, match="make the bucket or correct its name"):
        check_request(home, None, request("s3://not-there/out"))


def test_a_connection_that_only_airflow_knows_is_an_error(home: Home) -> None:
    with pytest.raises(SettingsError, match=r"connection 'minio'.*AWS_ACCESS_KEY_ID.*make up"):
        check_request(home, None, request("s3://minio@bucket/out"))
