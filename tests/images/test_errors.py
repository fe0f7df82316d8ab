"""Every unreadable image gets the right category, and costs nothing."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL.TiffImagePlugin import TiffImageFile

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.images import whole_pages
from tests.images.decoding import MAX_PIXELS, decode, failure
from tests.images.samples import (
    encode,
    every_format,
    png_bytes,
    png_chunk,
    quarters,
    textured,
    tiff_bytes,
)

QUARTERS = quarters()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "an HTML page"),
        (b"\n\n  <HTML><head>", "an HTML page"),
        (b"<html>how to open a %PDF- file</html>", "an HTML page"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><title>Logo</title></svg>", "an SVG drawing; render it to PNG"),
        (b"<?xml version='1.0'?><!-- c --><svg:svg><script>1</script></svg:svg>", "an SVG drawing"),
        (b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'a.dtd'><svg><title>a</title></svg>", "an SVG drawing"),
        (b"<title>Log in</title><svg></svg>", "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
        (b'{"error": "gone"}', "JSON"),
        (b"404 not found", "text: '404 not found'"),
        ("plus ça change".encode("latin-1"), "text: 'plus"),
        ("übersetzt".encode("utf-16"), "text: 'übersetzt'"),
        (b"PK\x03\x04rest", "a ZIP archive"),
        (b"\x1f\x8b\x08rest", "gzip"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (b"\0\0\0\0\0\0\0\0", "8 bytes that start with zeros"),
        (b"\x01\x02\x03\x04", "unknown binary data that starts with 01 02 03 04"),
    ],
)
def test_what_is_not_an_image_is_named(body: bytes, says: str) -> None:
    error = failure(body)
    assert error.category is ErrorCategory.NOT_AN_IMAGE
    assert says in error.detail


def test_empty_body() -> None:
    assert failure(b"").category is ErrorCategory.EMPTY_BODY


def test_thumbnail_in_a_truncated_jpeg_does_not_pass_for_its_end() -> None:
    thumbnail = encode(textured(40, 30), "JPEG")
    assert thumbnail.endswith(b"\xff\xd9")
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + thumbnail
    body = encode(textured(400, 300), "JPEG", exif=exif)
    assert decode(body).shape == (300, 400, 3)
    assert failure(body[: len(body) // 2]).category is ErrorCategory.TRUNCATED


@pytest.mark.parametrize("tail", [b"\0" * 100, b"\n", b"some camera's own data" * 50])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_what_follows_the_image_is_ignored(image_format: str, tail: bytes) -> None:
    body = encode(QUARTERS, image_format)
    assert np.array_equal(decode(body + tail), decode(body))


def test_jpeg_without_end_marker_is_read_if_its_data_are_whole() -> None:
    body = encode(textured(), "JPEG")
    assert np.array_equal(decode(body[:-2]), decode(body))
    assert failure(body[:-2][:-40]).category is ErrorCategory.TRUNCATED
    # The missing data replaced by zeros, as a file system leaves them.
    assert failure(body[:-200] + bytes(5000)).category is ErrorCategory.TRUNCATED


def test_jpeg_in_several_scans_needs_its_end_marker() -> None:
    assert failure(encode(textured(), "JPEG", progressive=True)[:-2]).category is ErrorCategory.TRUNCATED


def test_jpeg_of_endless_scans_is_refused() -> None:
    body = encode(textured(), "JPEG", progressive=True)
    at = body.rindex(b"\xff\xda")
    last = body[at:-2]
    error = failure(body[:-2] + last * 300 + b"\xff\xd9")
    assert error.category is ErrorCategory.CORRUPT
    assert "scans" in error.detail


@pytest.mark.parametrize(
    "image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "PDF"]
)
def test_half_a_file_is_truncated(image_format: str) -> None:
    body = encode(textured(400, 300), image_format)
    assert failure(body[: len(body) // 2]).category is ErrorCategory.TRUNCATED


def test_png_with_too_few_rows() -> None:
    header = struct.pack(">IIBBBBB", 50, 50, 8, 2, 0, 0, 0)
    assert failure(png_bytes(header, bytes(151 * 20))).category is ErrorCategory.CORRUPT


def test_png_that_hides_its_header() -> None:
    """The size that is checked is the one that the decoder takes."""
    body = BOMBS["png"]
    error = failure(body[:8] + png_chunk(b"sIZe", struct.pack(">II", 1, 1)) + body[8:])
    assert error.category is ErrorCategory.CORRUPT
    assert "header" in error.detail


def test_exif_that_refers_to_itself_is_not_multiplied() -> None:
    """Each of its tags claims most of the block; copied, they would take a quarter of a gigabyte."""
    tags = 4_000
    directory = struct.pack(">HHHIHH", tags + 1, 0x0112, 3, 1, 6, 0)
    directory += b"".join(struct.pack(">HHII", 0x9000 + number, 7, 60_000, 8) for number in range(tags))
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + directory
    body = encode(QUARTERS, "JPEG", exif=exif + bytes(65_000 - len(exif)))
    tracemalloc.start()
    try:
        assert decode(body).shape == (96, 64, 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_tiff_that_does_not_say_how_many_samples_it_has() -> None:
    """OpenCV fills most of the page with whatever is in memory."""
    body = tiff_bytes(np.ones((8, 8, 3), np.float32))
    at = body.rindex(struct.pack("<H", 277))
    assert failure(body[:at] + struct.pack("<H", 65_000) + body[at + 2 :]).category is ErrorCategory.CORRUPT


@pytest.mark.parametrize(("tag", "damage"), [(258, {"count": 1 << 30}), (259, {"kind": 99}), (262, {"count": 1 << 31})])
def test_tiff_with_a_damaged_tag(tag: int, damage: dict[str, int]) -> None:
    """Without it, the page would be decoded as one of another kind."""
    body = tiff_bytes(np.asarray(textured().convert("L")))
    at = body.rindex(struct.pack("<HHI", tag, 3, 1))
    entry = struct.pack("<HHI", tag, damage.get("kind", 3), damage.get("count", 1))
    error = failure(body[:at] + entry + body[at + 8 :])
    assert error.category is ErrorCategory.CORRUPT
    assert str(tag) in error.detail


def test_avif_that_lost_a_stretch_is_refused() -> None:
    """The decoder would make a picture of it, and a wrong one."""
    body = encode(textured(400, 300), "AVIF")
    start = body.index(b"mdat") + 200
    for at in range(start, len(body) - 50, len(body) // 20):
        assert failure(body[:at] + body[at + 40 :]).category is ErrorCategory.TRUNCATED, at


def test_tiff_of_an_unknown_compression() -> None:
    error = failure(tiff_bytes(np.zeros((8, 8), np.uint8), compression=50_002))
    assert error.category is ErrorCategory.CORRUPT
    assert "50002" in error.detail


def test_tiff_of_an_unknown_kind() -> None:
    error = failure(tiff_bytes(np.zeros((8, 8, 3), np.uint8), photometric=999))
    assert error.category is ErrorCategory.CORRUPT
    assert "TIFF" in error.detail


def test_tiff_that_pillow_does_not_know_is_read_by_opencv() -> None:
    samples = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (32, 1))
    body = tiff_bytes(samples, extra_samples=0)
    with pytest.raises(SyntaxError, match="unknown pixel mode"):
        TiffImageFile(io.BytesIO(body))
    assert np.abs(decode(body)[7, :, 1] - np.linspace(0, 255, 64)).max() <= 1


def test_png_with_a_wrong_checksum() -> None:
    body = bytearray(encode(textured(), "PNG"))
    body[body.index(b"IDAT") + 100] ^= 0x40
    error = failure(bytes(body))
    assert error.category is ErrorCategory.CORRUPT
    assert "IDAT" in error.detail


def test_png_text_bomb_is_not_unpacked() -> None:
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000)))
    assert decode(png_bytes(header, b"\0\x80", bomb)).shape == (1, 1, 3)


def riff(kind: bytes, payload: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def jpeg_of_size(width: int, height: int) -> bytes:
    body = bytearray(encode(QUARTERS, "JPEG"))
    at = body.index(b"\xff\xc0")
    body[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(body)


def gif_of_size(width: int, height: int) -> bytes:
    body = bytearray(encode(QUARTERS, "GIF"))
    body[6:10] = struct.pack("<HH", width, height)
    return bytes(body)


def bmp_of_size(width: int, height: int) -> bytes:
    body = bytearray(encode(QUARTERS, "BMP"))
    body[18:26] = struct.pack("<ii", width, height)
    return bytes(body)


BOMBS = {
    "jpeg": jpeg_of_size(65_000, 65_000),
    "png": png_bytes(struct.pack(">IIBBBBB", 40_000, 40_000, 8, 6, 0, 0, 0), bytes(10_000_000)),
    "gif": gif_of_size(65_000, 65_000),
    "bmp": bmp_of_size(60_000, 60_000),
    "tiff": tiff_bytes(np.zeros((8, 8, 3), np.uint8), size=(200_000, 200_000)),
    "webp": riff(b"VP8X", b"\0\0\0\0" + b"\xff\x3f\0" * 2),
    "webp-lossy": riff(b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f"),
    "webp-lossless": riff(b"VP8L", b"\x2f" + b"\xff\xff\xff\x0f" + bytes(9)),
    "jpeg2000": encode(QUARTERS, "JPEG2000", no_jp2=True).replace(
        struct.pack(">II", 96, 64), struct.pack(">II", 90_000, 60_000)
    ),
    "pnm": b"P6\n90000 90000\n255\n" + bytes(100),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_by_their_headers(kind: str) -> None:
    decode(encode(QUARTERS, "PNG"))
    tracemalloc.start()
    try:
        error = failure(BOMBS[kind])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.category is ErrorCategory.TOO_MANY_PIXELS
    assert "100,000,000" in error.detail
    assert peak < 5_000_000


def test_native_code_allocates_nothing_for_a_bomb() -> None:
    """What C libraries allocate, tracemalloc does not see; the address space of a process is a limit to both."""
    script = (
        "import resource, sys\n"
        "from tests.images.test_errors import BOMBS, failure\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)\n"
        "print(*sorted({failure(body).category.value for body in BOMBS.values()}))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=_environment())
    assert result.stdout.strip() == "too_many_pixels", result.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_size_just_allowed() -> None:
    body = encode(QUARTERS, "PNG")
    assert decode(body, 96 * 64).shape == (64, 96, 3)
    assert decode(body, 96 * 64 - 1).shape == (32, 48, 3)  # reduced
    assert failure(body, 96 * 64 // 40).category is ErrorCategory.TOO_MANY_PIXELS


def test_common_files_leave_stderr_alone(capfd: pytest.CaptureFixture[str]) -> None:
    for body in every_format().values():
        list(whole_pages(body, max_pixels=MAX_PIXELS))
    noisy_profile = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no colour profile"))
    decode(png_bytes(struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), b"\0\x80", noisy_profile))
    failure(encode(textured(), "PNG")[:-300])
    assert capfd.readouterr().err == ""


def test_many_threads_decode_the_same_pixels() -> None:
    bodies = list(every_format().values())

    def checksums(body: bytes) -> list[int]:
        return [zlib.crc32(page.pixels.tobytes()) for page in whole_pages(body, max_pixels=MAX_PIXELS)]

    alone = [checksums(body) for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(checksums, bodies * 12))
    assert together == alone * 12
    assert sum(map(len, alone)) > len(bodies)
