"""What is drawn: the same each time, decodable, written in faces that have the characters, and legible."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ocr_demo import DemoDataset, draw, word_f1
from ocr_demo.catalogue import PICTURES
from ocr_demo.fonts import Face
from ocr_demo.sheet import Pen, Sheet, wrap
from ocr_pipeline.images import whole_pages
from ocr_pipeline.ocr import load_engine
from ocr_pipeline.settings.run import ReadSettings

pytestmark = pytest.mark.slow  # draws the demo

FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF", "tiff": "TIFF"}

DIGESTS_OF_ONE_EACH = """
import hashlib, json
from ocr_demo.catalogue import PICTURES
first = {picture.kind: picture for picture in reversed(PICTURES)}
print(json.dumps({p.name: hashlib.sha256(p.picture(p.draw())).hexdigest() for p in first.values()}))
"""


def test_there_are_about_100_images_of_every_kind_and_language(demo: DemoDataset) -> None:
    assert demo.drawn
    assert 95 <= len(demo.images) <= 120
    assert len({image.file for image in demo.images}) == len(demo.images)
    languages = Counter(image.language for image in demo.images)
    assert set(languages) == {"en", "de", "fr", "es", "pt", "it", "pl", "cs", "zh", "ja"}
    assert min(languages.values()) >= 5
    assert {"receipt", "invoice", "page", "form", "ticket", "menu", "product", "parcel", "sign", "notice"} <= {
        image.kind for image in demo.images
    }


def test_drawing_again_gives_the_same_bytes(demo: DemoDataset) -> None:
    # In another process with another hash seed: nothing may depend on what was drawn before or on set order.
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    output = subprocess.check_output([sys.executable, "-c", DIGESTS_OF_ONE_EACH], env=environment)
    again = json.loads(output)
    files = {Path(image.file).stem: demo.folder / "images" / image.file for image in demo.images}
    assert len(again) == len({picture.kind for picture in PICTURES})
    assert again == {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in again}


def test_every_file_holds_the_format_that_its_name_claims(demo: DemoDataset) -> None:
    modes, orientations = Counter[str](), Counter[int]()
    for image in demo.images:
        with Image.open(demo.folder / "images" / image.file) as picture:
            picture.load()
            assert picture.format == FORMATS[image.file.rpartition(".")[2]], image.file
            modes[picture.mode] += 1
            orientations[picture.getexif().get(0x0112, 1)] += 1
    assert set(modes) == {"RGB", "RGBA", "L", "P", "1", "CMYK", "I;16"}
    assert {3, 6, 8} <= set(orientations)


def test_the_pipeline_decodes_every_image_to_one_page(demo: DemoDataset) -> None:
    for image in demo.images:
        body = (demo.folder / "images" / image.file).read_bytes()
        assert len(list(whole_pages(body, max_pixels=20_000_000))) == 1, image.file


def test_what_is_drawn_reads_as_its_truth(demo: DemoDataset) -> None:
    engine = load_engine(ReadSettings())
    chosen = {image.kind: image for image in reversed(demo.images)}.values()
    pairs = []
    for image in chosen:
        body = (demo.folder / "images" / image.file).read_bytes()
        (page,) = whole_pages(body, max_pixels=20_000_000)
        pairs.append((engine.read(page).text, image.text))
    engine.close()
    assert word_f1(pairs) >= 0.97
    assert min(word_f1([pair]) for pair in pairs) >= 0.8


def test_a_character_that_a_face_lacks_is_refused() -> None:
    assert Face.SANS.missing("Žluťoučký kůň 12 €") == ""
    assert Face.SANS.missing("a国b語") == "国語"
    assert Face.CHINESE.missing("国语 ABC") == ""
    with pytest.raises(ValueError, match="no glyph for '国'"):
        Sheet(100, 50, None).write(0, 0, "国", Pen(Face.SANS, 20))


def test_a_row_of_cells_is_one_line_of_the_truth() -> None:
    sheet = Sheet(400, 100, (255, 255, 255))
    sheet.row(0, [(0, "Tea", "left"), (390, "2.50", "right")], Pen(Face.MONO, 20))
    sheet.write(200, 50, "Thanks", Pen(Face.MONO, 20), "centre")
    assert sheet.lines == ["Tea 2.50", "Thanks"]


@pytest.mark.parametrize(
    ("text", "face"),
    [("a few words of different length here", Face.SERIF), ("天刚亮，河面上还飘着一层薄雾。", Face.CHINESE)],
)
def test_wrapping_keeps_every_character_and_the_width(text: str, face: Face) -> None:
    pen = Pen(face, 20)
    lines = wrap(text, pen, 130)
    assert len(lines) > 1
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    # Closing punctuation may hang over the margin by its own width.
    assert all(pen.width(line) <= 130 + pen.size for line in lines)
    assert not any(line.startswith(("，", "。")) for line in lines)


def draw_some(folder: Path, progress: Callable[[int, int], None] | None = None) -> DemoDataset:
    """Draw three pictures, which are quick to draw."""
    return draw(folder, progress, PICTURES[-3:])


def test_a_whole_folder_is_not_drawn_again(tmp_path: Path) -> None:
    first = draw_some(tmp_path)
    changed = {path: path.stat().st_mtime_ns for path in (tmp_path / "images").iterdir()}
    second = draw_some(tmp_path)
    assert (first.drawn, second.drawn) == (True, False)
    assert second.images == first.images
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "images").iterdir()} == changed


def test_a_half_drawn_folder_is_drawn_again(tmp_path: Path) -> None:
    whole = draw_some(tmp_path)
    (tmp_path / "images" / whole.images[0].file).unlink()
    assert draw_some(tmp_path) == whole
    (tmp_path / "dataset.json").unlink()
    assert draw_some(tmp_path).drawn
    (tmp_path / "dataset.json").write_text('{"digest": "')
    assert draw_some(tmp_path).drawn


def test_a_folder_of_another_version_is_drawn_again(tmp_path: Path) -> None:
    draw_some(tmp_path)
    marker = tmp_path / "dataset.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "digest": "older"}))
    assert draw_some(tmp_path).drawn


def test_progress_counts_up_to_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    draw_some(tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
