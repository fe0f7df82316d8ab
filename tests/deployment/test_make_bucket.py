"""scripts/make_bucket.sh against a store that speaks S3."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.deployment.files import ROOT

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def store() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def make_bucket(store: str, output: str, keys: dict[str, str] = KEYS) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        ["bash", ROOT / "scripts/make_bucket.sh", store],
        env={**bare, "OCR_OUTPUT": output, **keys},
        capture_output=True,
        text=True,
        timeout=60,
    )


def buckets(store: str) -> set[str]:
    client = boto3.client(
        "s3", endpoint_url=store, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret"
    )
    return {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}


def test_the_bucket_of_the_results_is_made_once(store: str) -> None:
    for _ in range(2):
        made = make_bucket(store, "s3://ocr-made/some/prefix")
        assert made.returncode == 0, made.stdout + made.stderr
    assert "ocr-made" in buckets(store)


def test_a_folder_needs_none(store: str) -> None:
    before = buckets(store)
    done = make_bucket(store, "/opt/airflow/output")
    assert done.returncode == 0
    assert "no bucket" in done.stdout
    assert buckets(store) == before


def test_a_store_that_refuses_is_said(store: str) -> None:
    done = make_bucket(store, "s3://A")  # no name that a bucket may have
    assert done.returncode == 1
    assert "the store answered 400 to making the bucket A" in done.stdout


@pytest.mark.parametrize("missing", sorted(KEYS))
def test_without_keys_it_says_which(missing: str) -> None:
    done = make_bucket("http://127.0.0.1:9", "s3://ocr", {name: v for name, v in KEYS.items() if name != missing})
    assert done.returncode != 0
    assert f"{missing}: set in .env" in done.stderr
