"""In which order pages of many layouts are read: ``make bench-order``.

Pages are drawn (:mod:`benchmarks.order.layouts`), read by ours and by its peers, and what comes out is compared with
what a person reads, character by character, spaces left out: the edit distance divided by the length of the text. What
is misread counts as well, and little, as the print is clear.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean

import cv2
import numpy as np

from benchmarks.agreement import edit_distance
from benchmarks.goals import Goal, check
from benchmarks.order.layouts import LAYOUTS, Words
from ocr_pipeline.ocr import load_engine
from ocr_pipeline.records import Page
from ocr_pipeline.settings.run import ReadSettings

Read = Callable[[list[Path]], Iterable[str]]
"""The texts of images."""


def read_with_ours(images: list[Path]) -> Iterable[str]:
    """Ours, as shipped."""
    engine = load_engine(ReadSettings())
    for image in images:
        pixels = cv2.imread(str(image))
        assert pixels is not None
        yield engine.read(Page(0, np.asarray(pixels, np.uint8))).text


def read_with_tesseract(images: list[Path]) -> Iterable[str]:
    """Tesseract 5, with its own analysis of the page's layout."""
    for image in images:
        yield subprocess.run(["tesseract", image, "-"], check=True, capture_output=True, text=True).stdout


def read_with_indra(python: str) -> Read:
    """Indra OCR (the package ``rapidocrlite``), in an environment of its own."""

    def read(images: list[Path]) -> Iterable[str]:
        done = subprocess.run(
            [python, Path(__file__).with_name("indra.py"), *images], check=True, stdout=subprocess.PIPE, text=True
        )
        return map(json.loads, done.stdout.splitlines())

    return read


def error(expected: Iterable[str], text: str) -> float:
    """The share of characters that are not where they belong, 0 to about 1."""
    right, read = ("".join("".join(part.split()) for part in parts) for parts in (expected, [text]))
    return edit_distance(right, read) / len(right)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--indra", help="the Python of an environment with rapidocrlite")
    parser.add_argument("--pages", type=int, default=2, help="pages of each layout")
    arguments = parser.parse_args()
    readers: dict[str, Read] = {"ours": read_with_ours, "tesseract": read_with_tesseract}
    if arguments.indra:
        readers["indra"] = read_with_indra(arguments.indra)
    # The scripts of right-to-left pages are not what the default model reads.
    sheets = [
        (name, sheet)
        for name, layout in LAYOUTS.items()
        for seed in range(arguments.pages)
        if not (sheet := layout(Words(100 + seed))).right_to_left
    ]
    with tempfile.TemporaryDirectory(prefix="bench-order-") as folder:
        images = [Path(folder) / f"{number}.png" for number in range(len(sheets))]
        for image, (_, sheet) in zip(images, sheets, strict=True):
            sheet.draw().save(image)
        errors = {
            reader: [
                error((line.text for line in sheet.lines), text)
                for (_, sheet), text in zip(sheets, read(images), strict=True)
            ]
            for reader, read in readers.items()
        }
    print(f"{'layout':36}", *(f"{reader:>10}" for reader in readers))
    for name in dict.fromkeys(name for name, _ in sheets):
        shares = [mean(e for (n, _), e in zip(sheets, errors[reader], strict=True) if n == name) for reader in readers]
        print(f"{name:36}", *(f"{share:10.3f}" for share in shares))
    means = {reader: mean(shares) for reader, shares in errors.items()}
    print(f"{'all':36}", *(f"{share:10.3f}" for share in means.values()))
    return check(
        [Goal(f"error of ours, beside {peer}'s", means["ours"], most=means[peer]) for peer in readers if peer != "ours"]
    )


if __name__ == "__main__":
    sys.exit(main())
