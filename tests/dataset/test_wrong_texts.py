"""Texts that a person may write by mistake: each ends in an error that says what is wrong, and in no other."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_pipeline.dataset import open_dataset
from ocr_pipeline.errors import DatasetError, DatasetMissingError, DatasetUnavailableError, SettingsError
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.storage.folders import Folder
from ocr_pipeline.storage.opening import open_folder

Read = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def read(tmp_path: Path, allowances: Allowances) -> Read:
    """The rows of a dataset; keyword arguments are settings."""

    def read(dataset: object, allowed: Allowances = allowances, **settings: Any) -> list[dict[str, Any]]:
        parsed = RunSettings.parse({"dataset": str(dataset), "output": "/x", "attempts": 1, **settings})
        (tmp_path / "scratch").mkdir(exist_ok=True)
        opened = open_dataset(parsed, allowed, tmp_path / "scratch")
        return [row for batch in opened.record_batches(parsed.limit) for row in batch.to_pylist()]

    return read


@pytest.mark.parametrize("part", ["[z-a]", "[!z-a]", "[a-c9-0]", "[+--]x[b-a]"])
def test_a_range_that_is_none_in_a_glob_on_a_disk(tmp_path: Path, read: Read, part: str) -> None:
    with pytest.raises(DatasetError, match=r"is no set of characters \(bad character range .*first, as in \[a-z\]"):
        read(f"{tmp_path}/{part}.csv")


@pytest.mark.parametrize("part", ["[z-a]", "[!z-a]", "[a-c9-0]", "[+--]x[b-a]"])
def test_a_range_that_is_none_in_a_glob_in_a_bucket(
    read: Read, bucket: str, s3_allowances: Allowances, part: str
) -> None:
    with pytest.raises(DatasetError, match=r"is no set of characters \(bad character range") as refused:
        read(f"s3://{bucket}/{part}.csv", s3_allowances)
    assert not refused.value.retryable


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("[a-c].csv", ["a.csv", "b.csv"]),
        ("[!a].csv", ["^.csv", "b.csv", "x.csv"]),
        ("[^x].csv", ["^.csv", "x.csv"]),
        (r"[\w].csv", []),
        ("[x&&a].csv", ["a.csv", "x.csv"]),
        ("[[:alpha:]].csv", []),
        ("[!].csv", []),
        ("[].csv", []),
    ],
)
def test_sets_mean_the_same_on_a_disk_and_in_a_bucket(
    tmp_path: Path, read: Read, bucket: str, s3_allowances: Allowances, pattern: str, names: list[str]
) -> None:
    store: Folder = open_folder(f"s3://{bucket}", s3_allowances)
    for name in ("^.csv", "a.csv", "b.csv", "x.csv"):
        (tmp_path / name).write_text(f"image\n{name}\n")
        store.file(name).write_bytes(f"image\n{name}\n".encode())
    for dataset, allowed in ((tmp_path, Allowances.parse(str(tmp_path))), (f"s3://{bucket}", s3_allowances)):
        if names:
            assert sorted(row["image"] for row in read(f"{dataset}/{pattern}", allowed)) == names
        else:
            with pytest.raises(DatasetMissingError):
                read(f"{dataset}/{pattern}", allowed)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("{}/a\0b.csv", "no file can have this path"),
        ("file://{}/%00.csv", "no file can have this path"),
        ("{}/" + 300 * "x" + ".csv", "cannot be looked at: File name too long"),
        ("{}/*/" + 300 * "x" + "/a.csv", "no file matches"),
        ("file://[/data/a.csv", "not a valid file URL"),
        ("file://host/data/a.csv", "names no host"),
    ],
)
def test_paths_that_no_file_can_have(tmp_path: Path, read: Read, place: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said) as refused:
        read(place.format(tmp_path))
    assert not refused.value.retryable


def test_a_folder_that_goes_round_in_a_circle(tmp_path: Path, read: Read) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with pytest.raises(DatasetError) as refused:
        read(f"{tmp_path}/round/a.csv")
    assert not isinstance(refused.value, DatasetUnavailableError)


@pytest.mark.parametrize("output", ["/a\0b", "~/a\0b"])
def test_an_output_that_no_folder_can_have(output: str, allowances: Allowances) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        open_folder(output, allowances)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "idna", "punycode", "utf-7", "unicode_escape", "hz"])
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl"])
def test_text_in_another_encoding_than_said(tmp_path: Path, read: Read, encoding: str, name: str) -> None:
    content = b'{"image": "a.png"}\n' if name == "a.jsonl" else b"image\nxn--\xff.png\n\\x\n"
    (tmp_path / name).write_bytes(content + b"\xe4+\xff\n")
    with pytest.raises(DatasetError, match=rf"{name}, line \d+: (not {encoding} text|it is not)"):
        read(tmp_path / name, encoding=encoding)


@pytest.mark.parametrize("encoding", ["undefined", "hex", "rot13", "no-such", "a\0b", "../utf_8"])
def test_an_encoding_that_is_none(encoding: str) -> None:
    with pytest.raises(SettingsError, match="encoding: "):
        RunSettings.parse({"dataset": "/d", "output": "/x", "encoding": encoding})


def test_a_header_that_is_none(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.csv").write_bytes(200_000 * b"x" + b",image\n1,2\n")
    limit = csv.field_size_limit(131_072)  # Python's own, which some other test's module may have raised
    try:
        with pytest.raises(DatasetError, match=r"a\.csv, line 1: field larger"):
            read(tmp_path / "a.csv")
    finally:
        csv.field_size_limit(limit)


def test_half_a_surrogate_pair_becomes_a_replacement(tmp_path: Path, read: Read) -> None:
    lines = [rb'{"image": "\ud83d\ude00"}', rb'{"image": "\ud800"}', rb'{"\udfff": 1, "image": "b"}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    assert read(tmp_path / "a.jsonl") == [
        {"image": "\N{GRINNING FACE}", "\ufffd": None},
        {"image": "\ufffd", "\ufffd": None},
        {"image": "b", "\ufffd": 1},
    ]


def test_numbers_beyond_all_bounds(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.txt").write_text("a.png\n")
    for name in ("limit", "max_bytes", "max_pixels"):
        with pytest.raises(SettingsError, match=f"{name}: 10+ is not allowed"):
            read(tmp_path / "a.txt", **{name: 10**30})
    assert read(tmp_path / "a.txt", limit=10**12) == [{"image_link": "a.png"}]
