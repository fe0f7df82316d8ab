"""Opening object stores, against a server that speaks S3."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import obstore
import pytest
from obstore.exceptions import BaseError

from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.deployment import Allowances, AllowedStore, Connection
from ocr_pipeline.storage.buckets import find_store, open_bucket


def test_a_bucket_is_opened_with_its_connection(bucket: str, s3_allowances: Allowances) -> None:
    store, address = find_store(f"s3://{bucket}/folder/a b%.txt", s3_allowances)
    opened = open_bucket(store, retries=0, timeout=10)
    obstore.put(opened, address.key, b"content")
    assert bytes(obstore.get(opened, "folder/a b%.txt").bytes()) == b"content"


def test_credentials_of_the_environment_do_not_mix_with_the_connections(
    bucket: str, s3_allowances: Allowances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-another-account")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    store, _ = find_store(f"s3://{bucket}", s3_allowances)
    url = obstore.sign(open_bucket(store, retries=0, timeout=10), "GET", "a", timedelta(minutes=1))
    assert "another" not in url
    assert "X-Amz-Credential=key" in url


def test_a_connection_whose_type_airflow_does_not_know_opens_what_is_named(
    bucket: str, s3_connection: Connection
) -> None:
    generic = replace(s3_connection, kind="generic")
    opened = open_bucket(AllowedStore("s3", bucket, "", generic), retries=0, timeout=10)
    obstore.put(opened, "a", b"1")
    assert obstore.head(opened, "a")["size"] == 1
    assert isinstance(open_bucket(AllowedStore("gs", "b", "", generic), retries=0, timeout=10), obstore.store.GCSStore)


def test_without_a_connection_the_environment_opens_it(
    bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "ENDPOINT_URL": s3_endpoint}
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    opened = open_bucket(AllowedStore("s3", bucket), retries=0, timeout=10)
    obstore.put(opened, "a", b"1")
    assert [item["path"] for chunk in obstore.list(opened) for item in chunk] == ["a"]


def test_what_is_not_allowed_is_not_opened(s3_allowances: Allowances) -> None:
    with pytest.raises(SettingsError, match=r"s3://other is not allowed.*ocr_allow"):
        find_store("s3://other", s3_allowances)
    with pytest.raises(SettingsError, match="cannot be used"):
        find_store("/folder", s3_allowances)


@pytest.mark.parametrize(
    ("scheme", "values", "said"),
    [
        ("s3", {"kind": "http"}, "type aws"),
        ("s3", {"extra": {"role_arn": "arn:aws:iam::1:role/x"}}, "role_arn"),
        ("gs", {"kind": "aws"}, "type google_cloud_platform"),
        ("gs", {"kind": "google_cloud_platform", "extra": {"keyfile_dict": "not JSON"}}, "keyfile_dict"),
    ],
)
def test_a_connection_that_cannot_open_the_bucket_is_refused(
    scheme: str, values: dict[str, Any], said: str, s3_connection: Connection
) -> None:
    store = AllowedStore(scheme, "b", "", replace(s3_connection, **values))
    with pytest.raises(SettingsError, match=f"'minio'.*{said}"):
        open_bucket(store, retries=0, timeout=1)


def test_an_unreachable_store_is_an_error_soon(s3_connection: Connection) -> None:
    nowhere = replace(s3_connection, extra={"endpoint_url": "http://127.0.0.1:9"})
    opened = open_bucket(AllowedStore("s3", "b", "", nowhere), retries=0, timeout=5)
    with pytest.raises(BaseError):
        obstore.head(opened, "a")
