"""Draw the demo dataset once, and write the table of its links."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

from ocr_demo.catalogue import PICTURES, Picture
from ocr_demo.spoiled import BAD_ENTRIES
from ocr_pipeline.errors import Status

MARKER = "dataset.json"
"""Lists what was drawn. Written last, so a folder that has it is whole."""

COLUMNS = ("id", "kind", "language", "image_url", "true_text", "expected_status", "expected_error")
"""Columns of the table. ``true_text`` has a line for each visible line; ``expected_error`` is a category."""

_DRAWN_WITH = ("pillow", "numpy", "noto-cjk-sans-otc", "pymupdf-fonts", "font-source-serif-pro")
_DUPLICATES = 3


@dataclass(frozen=True, slots=True)
class DemoImage:
    """One image of the demo. ``file`` is its name under ``images/``; ``text`` what can be read on it."""

    file: str
    kind: str
    language: str
    text: str
    bytes: int


@dataclass(frozen=True, slots=True)
class DemoDataset:
    """The drawn images and the folder that holds them; ``drawn`` is False when they were there already."""

    folder: Path
    images: tuple[DemoImage, ...]
    drawn: bool


def draw(
    folder: Path, progress: Callable[[int, int], None] | None = None, pictures: Sequence[Picture] = PICTURES
) -> DemoDataset:
    """Draw the demo's images into ``folder/images``, unless this version of them is there already.

    The same code and packages give the same bytes every time. ``progress`` is called with the number of
    images drawn and their total after each one.
    """
    digest = _digest(pictures)
    if (images := _already_drawn(folder, digest)) is not None:
        return DemoDataset(folder, images, drawn=False)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / MARKER).unlink(missing_ok=True)
    drawn = []
    # Most of the time goes into pixel work that leaves the interpreter to other threads.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for image in threads.map(partial(_draw_one, folder / "images"), pictures):
            drawn.append(image)
            if progress:
                progress(len(drawn), len(pictures))
    marker = {"digest": digest, "images": [asdict(image) for image in drawn]}
    _replace(folder / MARKER, json.dumps(marker, ensure_ascii=False, indent=1))
    return DemoDataset(folder, tuple(drawn), drawn=True)


def write_dataset(folder: Path, base_url: str, path: Path) -> None:
    """Write to ``path``, as CSV, a row for each image of ``folder`` at ``base_url``, the bad entries, a few repeats.

    The order mixes them and is the same every time.

    :raises FileNotFoundError: when the images were not drawn into ``folder`` first.
    """
    images = _already_drawn(folder, _digest(PICTURES))
    if images is None:
        raise FileNotFoundError(f"{folder} does not hold this version of the demo's images: call draw() first")
    random = Random("order of the demo dataset")
    good = [
        {
            "id": Path(image.file).stem,
            "kind": image.kind,
            "language": image.language,
            "image_url": f"{base_url}/images/{image.file}",
            "true_text": image.text,
            "expected_status": Status.OK.value,
            "expected_error": "",
        }
        for image in images
    ]
    bad = [
        {
            "id": f"bad-{entry.kind}",
            "kind": "bad",
            "language": "",
            "image_url": entry.link.format(base=base_url),
            "true_text": "",
            "expected_status": entry.expected.status.value,
            "expected_error": entry.expected.value,
        }
        for entry in BAD_ENTRIES
    ]
    repeats = [{**row, "id": f"{row['id']}-again"} for row in random.sample(good, _DUPLICATES)]
    rows = good + bad + repeats
    random.shuffle(rows)
    table = StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _replace(path, table.getvalue())


def _draw_one(folder: Path, picture: Picture) -> DemoImage:
    sheet = picture.draw()
    body = picture.picture(sheet)
    file = f"{picture.name}.{picture.format.extension}"
    (folder / file).write_bytes(body)
    return DemoImage(file, picture.kind, picture.language, "\n".join(sheet.lines), len(body))


def _already_drawn(folder: Path, digest: str) -> tuple[DemoImage, ...] | None:
    """The images in ``folder``, or None when they are not all there or of another version."""
    try:
        marker: dict[str, Any] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if marker["digest"] != digest:
        return None
    images = tuple(DemoImage(**image) for image in marker["images"])
    for image in images:
        path = folder / "images" / image.file
        if not path.is_file() or path.stat().st_size != image.bytes:
            return None
    return images


def _digest(pictures: Sequence[Picture]) -> str:
    """Changes whenever the drawings could: with which they are, this package's files and what draws them."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for path in sorted(package.glob("*.py")) + sorted(package.glob("*.toml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    for name in _DRAWN_WITH:
        digest.update(f"{name}=={version(name)}\n".encode())
    for picture in pictures:
        digest.update(f"{picture.name}\n".encode())
    return digest.hexdigest()


def _replace(path: Path, text: str) -> None:
    """Write a file that is whole or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
