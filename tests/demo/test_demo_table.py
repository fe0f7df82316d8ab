"""The demo's table: every image once, every kind of bad entry, and repeats."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from ocr_demo import DemoDataset, write_dataset
from ocr_pipeline.errors import ErrorCategory

pytestmark = pytest.mark.slow  # draws the demo

BASE = "http://127.0.0.1:8000"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rows(demo: DemoDataset, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    path = tmp_path_factory.mktemp("table") / "dataset.csv"
    write_dataset(demo.folder, BASE, path)
    return read(path)


def test_every_image_has_a_row_with_its_text(demo: DemoDataset, rows: list[dict[str, str]]) -> None:
    by_id = {row["id"]: row for row in rows}
    assert len(by_id) == len(rows)
    for image in demo.images:
        row = by_id[Path(image.file).stem]
        assert row["image_url"] == f"{BASE}/images/{image.file}"
        assert (row["kind"], row["language"], row["true_text"]) == (image.kind, image.language, image.text)
        assert (row["expected_status"], row["expected_error"]) == ("ok", "")
        assert row["true_text"].strip()


def test_bad_entries_say_what_must_become_of_them(rows: list[dict[str, str]]) -> None:
    bad = [row for row in rows if row["kind"] == "bad"]
    assert 14 <= len(bad) <= 18
    for row in bad:
        assert row["expected_status"] == ErrorCategory(row["expected_error"]).status
        assert row["true_text"] == ""
    assert {row["expected_error"] for row in bad} == {
        "not_found",
        "http_refused",
        "http_server_error",
        "timeout",
        "connection_lost",
        "too_many_redirects",
        "truncated",
        "not_an_image",
        "empty_body",
        "too_many_pixels",
        "invalid_link",
        "missing_link",
        "forbidden_address",
    }
    assert [row["image_url"] for row in bad if row["expected_error"] == "missing_link"] == [""]


def test_three_good_links_are_repeated_with_the_same_text(rows: list[dict[str, str]]) -> None:
    links = Counter(row["image_url"] for row in rows if row["expected_status"] == "ok")
    repeated = [link for link, count in links.items() if count == 2]
    assert len(repeated) == 3
    assert max(links.values()) == 2
    for link in repeated:
        assert len({row["true_text"] for row in rows if row["image_url"] == link}) == 1


def test_bad_entries_stand_among_the_good_in_the_same_order_every_time(
    demo: DemoDataset, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    places = [place for place, row in enumerate(rows) if row["kind"] == "bad"]
    assert places[0] < len(rows) / 3
    assert places[-1] > len(rows) * 2 / 3
    write_dataset(demo.folder, BASE, tmp_path / "again.csv")
    assert read(tmp_path / "again.csv") == rows


def test_without_images_there_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"call draw\(\) first"):
        write_dataset(tmp_path, BASE, tmp_path / "dataset.csv")
