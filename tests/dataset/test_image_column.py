"""Finding the column that links to the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from ocr_pipeline.errors import DatasetError
from tests.dataset.reading import opened, rows


@pytest.mark.parametrize(
    ("header", "guessed"),
    [
        ("id,url,image_url", "image_url"),
        ("Path,id", "Path"),
        ("id,IMAGE,url", "IMAGE"),
        ("img", "img"),
        ("id,imageUrl", "imageUrl"),
        ("id,Image Src,url", "Image Src"),
        ("id,photo-url", "photo-url"),
        ("id,photo,link", "photo"),
        ("id,Picture", "Picture"),
        ("id,IMAGE_LINK,image_url", "IMAGE_LINK"),
    ],
)
def test_the_column_is_guessed_by_its_usual_names(tmp_path: Path, header: str, guessed: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f"{header}\n")
    assert opened(path, tmp_path).image_column == guessed


@pytest.mark.parametrize(
    ("content", "guessed"),
    [
        ("a,b\nx,https://example.org/1\ny,\n", "b"),
        ("a,b\nx,one.png\ny,two.JPG\n", "b"),
        ("a,b\nx,NULL\ny,two.JPG\n", "b"),
        ("a,b\ns3://x/1,https://example.org/about us\ns3://x/2,no link\n", "a"),
    ],
)
def test_the_only_column_with_links_is_taken(tmp_path: Path, content: str, guessed: str) -> None:
    (tmp_path / "d.csv").write_text(content)
    assert opened(tmp_path / "d.csv", tmp_path).image_column == guessed


def test_of_several_columns_with_links_a_person_chooses(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,b\nhttps://example.org/1,https://example.org/2\n")
    with pytest.raises(DatasetError, match=r"several columns may hold the links \(a, b\); name it with image_column"):
        opened(tmp_path / "d.csv", tmp_path)


@pytest.mark.parametrize(
    "kind",
    [pa.string_view(), pa.large_string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int8(), pa.string())],
)
def test_links_may_be_of_any_type_that_holds_text(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array(["a.png", None, "b.png"]).cast(kind)
    pa.parquet.write_table(pa.table({"image": column, "n": [1, 2, 3]}), tmp_path / "d.parquet")
    dataset = opened(tmp_path / "d.parquet", tmp_path)
    assert dataset.schema.field("image").type == pa.string()
    assert [row["image"] for row in rows(tmp_path / "d.parquet")] == ["a.png", None, "b.png"]


@pytest.mark.parametrize(
    ("content", "guessed"),
    [
        ("id,url,photo\n1,https://x/a.jpg,yes\n", "url"),
        ("id,url,photo\n1,https://x/a,photos/1\n", "photo"),
        ("id,url,photo\n1,https://x/a,\n", "photo"),
        ("id,url,thumbnail_url\n1,https://x/a.jpg,https://x/t.jpg\n", "url"),
        ("id,thumbnail\n1,https://x/t.jpg\n", "thumbnail"),
        ("image,photo_url\n7,https://x/a.jpg\n", "image"),
        ("filename,file_name\na.png,b.png\n", "filename"),
        ("image_url,imageUrl\na.png,b.png\n", "image_url"),
        ("Image,image\na.png,b.png\n", "image"),
        ("Image_Link,image_link\na.png,b.png\n", "image_link"),
        ("URL,url\na.png,b.png\n", "url"),
        ("imageUrl,image\na.png,b.png\n", "image"),
        ("id,photo\n1,yes\n", "photo"),
    ],
)
def test_of_several_usual_names_the_surest_is_taken(tmp_path: Path, content: str, guessed: str) -> None:
    (tmp_path / "d.csv").write_text(content)
    assert opened(tmp_path / "d.csv", tmp_path).image_column == guessed


@pytest.mark.parametrize(
    "names", ["photo, picture", "photo_url, img_src", "ImageUrl, image-url", "Image, IMAGE", "Url, URL"]
)
def test_of_names_that_are_equally_sure_a_person_chooses(tmp_path: Path, names: str) -> None:
    (tmp_path / "d.csv").write_text(f"{names.replace(', ', ',')}\na.png,b.png\n")
    with pytest.raises(DatasetError, match=rf"several columns may hold the links \({names}\); name it"):
        opened(tmp_path / "d.csv", tmp_path)


def test_a_usual_name_whose_values_cannot_be_links_makes_way(tmp_path: Path) -> None:
    table = pa.table({"image": [{"id": 1}], "images": [["a"]], "url": ["a.png"]})
    pa.parquet.write_table(table, tmp_path / "d.parquet")
    assert opened(tmp_path / "d.parquet", tmp_path).image_column == "url"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image": [["a.png"]]}, r"holds list<.*>, not links; write a row for each link$"),
        ({"image": [["a.png"]], "t": ["b"]}, "write a row for each link, or set image_column to one of t$"),
        (
            {"image": [7], "n": [1], "t": ["b"], "u": ["c"]},
            "holds int64, .* image_column to one that holds text: t, u$",
        ),
        ({"image": [7], "n": [1]}, "holds int64, not links; the dataset needs a column of text, with one link a row$"),
        (
            {"image": [b"\xff\xd8"], "t": ["b"]},
            "themselves, not links to them; set image_column to one that .* text: t$",
        ),
    ],
)
def test_a_column_that_holds_no_links_is_not_named_as_the_remedy(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    pa.parquet.write_table(pa.table(columns), tmp_path / "d.parquet")
    with pytest.raises(DatasetError, match=said):
        opened(tmp_path / "d.parquet", tmp_path, image_column="image")


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
@pytest.mark.parametrize("settings", [{}, {"image_column": "image"}])
def test_images_themselves_are_no_links(tmp_path: Path, kind: pa.DataType, settings: dict[str, Any]) -> None:
    images = pa.array([b"\xff\xd8\xff\xe0", None, b"\x89PNG\r\n"]).cast(kind)
    pa.parquet.write_table(pa.table({"image": images}), tmp_path / "d.parquet")
    with pytest.raises(DatasetError, match="'image' holds bytes that are no text, perhaps the images themselves"):
        opened(tmp_path / "d.parquet", tmp_path, **settings)


def test_a_link_that_is_no_text_is_one_row_that_cannot_be_fetched(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"image": [b"a.png", b"\xff\xfe.png", None]}), tmp_path / "d.parquet")
    assert [row["image"] for row in rows(tmp_path / "d.parquet")] == ["a.png", r"\xff\xfe.png", None]
