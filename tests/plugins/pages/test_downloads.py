"""Files as a browser gets them: in bounded parts, under harmless names, and unable to do anything."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from fastapi.responses import StreamingResponse

from ocr_airflow.pages.downloads import OFFERED, give_offered
from ocr_airflow.pages.notices import Notice
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.disk import LocalFolder
from ocr_pipeline.storage.opening import open_folder


def read(answer: StreamingResponse) -> list[bytes]:
    """The parts of an answer."""

    async def collect() -> list[bytes]:
        return [bytes(part) async for part in answer.body_iterator]  # type: ignore[arg-type]

    return asyncio.run(collect())


def test_a_file_is_given_in_small_parts(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "results.parquet").write_bytes(content)
    parts = read(give_offered(RunFolder(LocalFolder(tmp_path)), "results.parquet"))
    assert b"".join(parts) == content
    assert max(map(len, parts)) <= 1 << 18


def test_a_file_in_a_bucket_is_given_without_a_copy(
    bucket: str, s3_allowances: Allowances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_folder(f"s3://minio@{bucket}/run", s3_allowances)
    content = os.urandom(20_000_000)
    folder.file("results.csv").write_bytes(content)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    parts = read(give_offered(RunFolder(folder), "results.csv"))
    assert b"".join(parts) == content
    assert max(map(len, parts)) <= 1 << 18


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "results.csv").touch()
    assert b"".join(read(give_offered(RunFolder(LocalFolder(tmp_path)), "results.csv"))) == b""


HIDDEN = ("plan.json", "../results.csv", "batches/batch-00000.csv", ".tmp-x")


@pytest.mark.parametrize("name", ["results.csv", "", *HIDDEN])
def test_what_is_not_there_or_not_for_people_is_not_given(tmp_path: Path, name: str) -> None:
    (tmp_path / "run" / "batches").mkdir(parents=True)
    for other in HIDDEN:
        (tmp_path / "run" / other).write_text("x")
    run = RunFolder(LocalFolder(tmp_path / "run"))
    with pytest.raises(Notice) as refused:
        give_offered(run, name)
    assert refused.value.status == 404


def test_a_link_in_the_folder_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(Notice):
        give_offered(RunFolder(LocalFolder(tmp_path / "run")), "results.csv")


@pytest.mark.parametrize("name", ['a"; filename=x.exe', "a\r\nX-Header: 1", "ümläut", "..", "manual__T03:04:05+00:00"])
def test_names_of_saved_files_are_harmless(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "results.csv").write_text("x")
    run = RunFolder(LocalFolder(folder))
    saved = give_offered(run, "results.csv").headers["content-disposition"]
    assert saved.startswith('attachment; filename="')
    stem = saved.removeprefix('attachment; filename="').removesuffix('"')
    assert stem.endswith("results.csv")
    assert not set(stem) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_a_report_is_shown_where_it_can_do_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<script>alert(1)</script>")
    policy = give_offered(RunFolder(LocalFolder(tmp_path)), "report.html").headers["content-security-policy"]
    assert policy.split("; ")[:2] == ["sandbox", "default-src 'none'"]
    assert "script" not in policy
    assert [name for name, offered in OFFERED.items() if offered.shown] == ["report.html"]
