"""Decodes damaged images one after another; run by the fuzz test in a process of its own.

``python -m tests.images.fuzzer CASES`` prints each case before it is decoded, so that the last line names the
one that crashed or hung, and at the end a line of JSON: how many cases had each outcome, and the peak memory.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ocr_pipeline.errors import ImageError
from ocr_pipeline.images import whole_pages
from tests.images.samples import every_format

MAX_PIXELS = 1_000_000
SEED = 20_240_607


def damaged(body: bytes, rng: random.Random) -> bytes:
    """``body`` with one to four accidents: cut, bytes changed, a stretch zeroed, lost, repeated or moved."""
    data = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(max(len(data), 1))
        # Headers are where a byte matters most.
        if rng.random() < 0.4:
            at = min(at, rng.randrange(120))
        stretch = rng.randrange(1, 64)
        match rng.randrange(7):
            case 0:
                del data[at:]
            case 1:
                for offset in range(at, min(at + rng.choice((1, 1, 4, 16)), len(data))):
                    data[offset] = rng.randrange(256)
            case 2:
                data[at : at + stretch] = bytes(min(stretch, len(data) - at))
            case 3:
                del data[at : at + stretch]
            case 4:
                data[at:at] = data[at : at + stretch]
            case 5:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1"))
            case _:
                data[at:at] = rng.randbytes(stretch)
    return bytes(data)


def cases(count: int) -> Iterator[tuple[str, bytes]]:
    """``count`` damaged images, the formats in turn; the same ones every time."""
    corpus = list(every_format().items())
    for number in range(count):
        name, body = corpus[number % len(corpus)]
        yield f"{number} {name}", damaged(body, random.Random(SEED + number))


def outcome(body: bytes) -> str:
    """``pages``, or the category of the error.

    :raises AssertionError: if a page is not what the contract promises.
    """
    try:
        for number, page in enumerate(whole_pages(body, max_pixels=MAX_PIXELS)):
            assert page.number == number
            assert page.pixels.dtype == np.uint8
            assert page.pixels.shape == (page.height, page.width, 3)
            assert page.pixels.flags.c_contiguous
            assert 0 < page.width * page.height <= MAX_PIXELS
    except ImageError as error:
        return error.category.value if error.detail else "an error without detail"
    return "pages"


def main() -> None:
    outcomes: Counter[str] = Counter()
    for name, body in cases(int(sys.argv[1])):
        print(name, flush=True)
        outcomes[outcome(body)] += 1
    # Not getrusage: its peak is that of whoever started this process, if that was larger.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    print(json.dumps({"outcomes": outcomes, "peak_mib": int(peak_kib) / 1024}))


if __name__ == "__main__":
    main()
