"""The decoder against damaged images: every one is decoded or classified, with no crash, hang or memory bomb.

``FUZZ_CASES`` sets how many; the default takes a few seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_pipeline.errors import ErrorCategory, ImageError, Status
from ocr_pipeline.images import whole_pages
from ocr_pipeline.records import Page
from tests.images.fuzzer import MAX_PIXELS, outcome
from tests.images.samples import every_format

SAMPLES = every_format()
CASES = int(os.environ.get("FUZZ_CASES", "10000"))
OUTCOMES = {"pages"} | {category.value for category in ErrorCategory if category.status is Status.DECODE_FAILED}

# Some fifty times what it takes: passing it means a hang, not a slow machine.
TIME_LIMIT = 30 + CASES * 0.03


def test_damaged_images_are_decoded_or_classified() -> None:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "include"), str(root)])
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.images.fuzzer", str(CASES)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIME_LIMIT,
        check=False,
    )
    lines = result.stdout.splitlines()
    assert result.returncode == 0, f"case {lines[-1:]}: {result.stderr[-2000:]}"
    report = json.loads(lines[-1])
    assert sum(report["outcomes"].values()) == CASES
    assert set(report["outcomes"]) <= OUTCOMES
    # Damage is found, and what is left readable is read.
    assert report["outcomes"]["pages"] > CASES * 0.1
    assert report["outcomes"]["truncated"] > CASES * 0.1
    assert report["outcomes"]["corrupt"] > CASES * 0.1
    # The process needs 90 MiB without decoding anything, a page of MAX_PIXELS a few times 3 MiB.
    assert report["peak_mib"] < 400


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_classified(body: bytes) -> None:
    assert outcome(body) in OUTCOMES - {"pages"}


@given(st.sampled_from(sorted(SAMPLES)), st.integers(4, 40), st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_random_bytes_after_a_real_start_are_classified(name: str, kept: int, tail: bytes) -> None:
    assert outcome(SAMPLES[name][:kept] + tail) in OUTCOMES


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_no_cut_goes_unnoticed(name: str) -> None:
    """A file cut anywhere fails, or gives the very pixels of the whole one."""
    body = SAMPLES[name]
    whole = [page.pixels for page in whole_pages(body, max_pixels=MAX_PIXELS)]
    step = max(len(body) // 120, 1)
    for length in sorted({*range(1, len(body), step), *range(len(body) - 24, len(body))}):
        pages: list[Page] = []
        failure: ErrorCategory | None = None
        try:
            pages.extend(whole_pages(body[:length], max_pixels=MAX_PIXELS))
        except ImageError as error:
            failure = error.category
        assert all((page.pixels == whole[page.number]).all() for page in pages), f"{length} of {len(body)} bytes"
        if failure is None:
            assert len(pages) == len(whole), f"{length} of {len(body)} bytes"
        else:
            assert failure in _verdicts(name, length), f"{length} of {len(body)} bytes"


def _verdicts(name: str, length: int) -> set[ErrorCategory]:
    """What a cut may be called: too short to be known for an image, or truncated."""
    verdicts = {ErrorCategory.TRUNCATED}
    if length < 24:
        verdicts.add(ErrorCategory.NOT_AN_IMAGE)
    if name in ("avif", "pdf") or name.startswith("tiff"):
        # A cut between its boxes leaves a file of whole boxes, one of which is missing; the objects of a PDF and the
        # parts of a TIFF stand anywhere.
        verdicts.add(ErrorCategory.CORRUPT)
    return verdicts
