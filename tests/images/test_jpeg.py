"""JPEG files that lost something, and files that look so and did not."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from ocr_pipeline.errors import ErrorCategory, ImageError, WarningCategory
from ocr_pipeline.images import whole_pages
from tests.images.decoding import MAX_PIXELS, decode, failure
from tests.images.samples import encode, textured

END = b"\xff\xd9"
PICTURE = textured(248, 184)
THUMBNAIL = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + encode(textured(40, 32), "JPEG")

ONE_SCAN = {
    "colour": encode(PICTURE, "JPEG", quality=80),
    "full-chroma": encode(PICTURE, "JPEG", quality=95, subsampling=0),
    "optimised": encode(PICTURE, "JPEG", quality=40, optimize=True),
    "grey": encode(PICTURE.convert("L"), "JPEG"),
    "cmyk": encode(PICTURE.convert("CMYK"), "JPEG"),
    "rgb": encode(PICTURE, "JPEG", keep_rgb=True),
    "restarts": encode(PICTURE, "JPEG", restart_marker_blocks=3),
    "restarts-by-row": encode(PICTURE, "JPEG", restart_marker_rows=1),
    "thumbnail": encode(PICTURE, "JPEG", exif=THUMBNAIL),
    "odd-size": encode(PICTURE.crop((0, 0, 241, 177)), "JPEG"),
}
PROGRESSIVE = {
    "progressive": encode(PICTURE, "JPEG", progressive=True),
    "progressive-grey": encode(PICTURE.convert("L"), "JPEG", progressive=True),
    "progressive-cmyk": encode(PICTURE.convert("CMYK"), "JPEG", progressive=True),
    "progressive-restarts": encode(PICTURE, "JPEG", progressive=True, restart_marker_rows=1),
}
ALL = ONE_SCAN | PROGRESSIVE


def coded_data(body: bytes) -> int:
    """Where the coded data of the last picture's first scan begin: behind its thumbnail, if it has one."""
    frame = max(body.rfind(b"\xff\xc0\0"), body.rfind(b"\xff\xc2\0"))
    scan = body.index(b"\xff\xda", frame)
    return scan + 2 + int.from_bytes(body[scan + 2 : scan + 4])


def cuts(body: bytes) -> list[int]:
    """Lengths to cut to: spread over the file, all of the last bytes, and all round each marker in the data."""
    markers = [at for at in range(coded_data(body), len(body) - 2) if body[at] == 0xFF and body[at + 1]]
    near = {at + step for at in markers[::7] for step in range(-1, 4)}
    spread = range(24, len(body), max(len(body) // 150, 1))
    return sorted(near | {*spread, *range(len(body) - 40, len(body))})


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("tail", [b"", bytes(3000), b"\xff" * 3000], ids=["bare", "zeros", "ones"])
def test_cut_jpeg_is_refused_or_whole(kind: str, tail: bytes) -> None:
    """Cut anywhere, also where the missing part is padded as file systems and downloaders do."""
    body = ALL[kind]
    whole = decode(body)
    read, refused = set(), set()
    for length in cuts(body):
        try:
            assert np.array_equal(decode(body[:length] + tail), whole), length
            read.add(length)
        except ImageError as error:
            refused.add(error.category)
    assert refused == {ErrorCategory.TRUNCATED}
    # Only the end marker is missing.
    assert read == ({len(body) - 2, len(body) - 1} if kind in ONE_SCAN else set())


@pytest.mark.parametrize("kind", ONE_SCAN)
def test_end_marker_behind_a_cut_makes_no_whole_jpeg(kind: str) -> None:
    """These cuts are the ones that libjpeg decodes: a part of the picture, and grey."""
    body = ONE_SCAN[kind]
    lengths = [length for length in cuts(body) if coded_data(body) < length < len(body) - 2]
    assert len(lengths) > 100
    colours = "CMYK" if "cmyk" in kind else "BGR"
    whole = simplejpeg.decode_jpeg(body, colours)
    for length in lengths:
        closed = body[:length] + END
        if length < len(body) - 40:
            assert not np.array_equal(simplejpeg.decode_jpeg(closed, colours, strict=False), whole), length
        assert failure(closed).category is ErrorCategory.CORRUPT, length


@pytest.mark.parametrize("kind", ["colour", "grey", "cmyk", "restarts"])
def test_jpeg_that_lost_a_stretch_is_refused(kind: str) -> None:
    body = ONE_SCAN[kind]
    start = coded_data(body)
    for at in range(start, len(body) - 700, (len(body) - start) // 30):
        assert failure(body[:at] + body[at + 600 :]).category is ErrorCategory.CORRUPT, at


def without_adobe(body: bytes) -> bytes:
    at = body.index(b"\xff\xee")
    return body[:at] + body[at + 2 + int.from_bytes(body[at + 2 : at + 4]) :]


@pytest.mark.parametrize("progressive", [False, True])
def test_cut_cmyk_jpeg_without_adobe_marker_is_refused(progressive: bool) -> None:
    body = without_adobe(encode(PICTURE.convert("CMYK"), "JPEG", progressive=progressive))
    assert decode(body).shape == (184, 248, 3)
    for length in range(coded_data(body), len(body) - 2, len(body) // 50):
        assert failure(body[:length]).category is ErrorCategory.TRUNCATED, length


def inserted(body: bytes, at: int, extra: bytes) -> bytes:
    return body[:at] + extra + body[at:]


def with_newer_jfif(body: bytes) -> bytes:
    at = body.index(b"JFIF\0") + 5
    return body[:at] + b"\3" + body[at + 1 :]


def with_unknown_transform(body: bytes) -> bytes:
    at = body.index(b"\xff\xe0")
    return body[:at] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\3" + body[at + 18 :]


def with_short_exif(body: bytes) -> bytes:
    return inserted(body, 2, b"\xff\xe1\0\x0aExif\0\0II*\0\x08\0")


def with_short_thumbnail(body: bytes) -> bytes:
    """The segment with the thumbnail says that it ends some bytes before it does."""
    at = body.index(b"\xff\xe1") + 2
    return body[:at] + (int.from_bytes(body[at : at + 2]) - 6).to_bytes(2) + body[at + 2 :]


COLOUR = ONE_SCAN["colour"]
ODD_BUT_WHOLE = {
    "bytes before the end marker": inserted(COLOUR, len(COLOUR) - 2, b"maker's data"),
    "bytes between the segments": inserted(COLOUR, COLOUR.index(b"\xff\xda"), b"\0\1\2"),
    "a byte before the frame": inserted(COLOUR, COLOUR.index(b"\xff\xc0"), b"\0"),
    "a segment shorter than it says": with_short_exif(COLOUR),
    "an unknown transformation of colours": with_unknown_transform(COLOUR),
    "fill bytes before a marker": inserted(COLOUR, COLOUR.index(b"\xff\xda"), b"\xff\xff"),
    "a JFIF version to come": with_newer_jfif(COLOUR),
    "spectral selection of a progressive scan": COLOUR.replace(b"\x03\x11\x00\x3f\x00", b"\x03\x11\x00\x00\x00"),
}


@pytest.mark.parametrize("oddity", [name for name in ODD_BUT_WHOLE if "end marker" not in name])
def test_odd_jpeg_that_lost_a_part_is_refused(oddity: str) -> None:
    """What libjpeg says of its head does not hide what it says of its data."""
    body = ODD_BUT_WHOLE[oddity]
    start = coded_data(body)
    middle = start + (len(body) - start) // 2
    assert failure(body[:middle] + END).category is ErrorCategory.CORRUPT
    assert failure(body[:middle] + body[middle + 400 :]).category is ErrorCategory.CORRUPT


@pytest.mark.parametrize("oddity", ODD_BUT_WHOLE)
def test_odd_jpeg_is_read(oddity: str, capfd: pytest.CaptureFixture[str]) -> None:
    """libjpeg warns of all but the fill bytes, and nothing of the picture is missing."""
    body = ODD_BUT_WHOLE[oddity]
    assert body != COLOUR
    assert np.abs(decode(body).astype(int) - decode(COLOUR)).max() <= 1
    assert capfd.readouterr().err == ""
    assert failure(body[: len(body) * 2 // 3]).category is ErrorCategory.TRUNCATED


def test_the_end_of_a_thumbnail_is_not_that_of_the_picture() -> None:
    whole = ONE_SCAN["thumbnail"]
    body = with_short_thumbnail(whole)
    assert np.array_equal(decode(body), decode(whole))
    middle = (coded_data(body) + len(body)) // 2
    assert failure(body[:middle] + END).category is ErrorCategory.CORRUPT
    assert failure(body[:middle]).category is ErrorCategory.TRUNCATED


def warnings(body: bytes) -> list[WarningCategory]:
    (page,) = whole_pages(body, max_pixels=MAX_PIXELS)
    return [warning.category for warning in page.warnings]


def test_bytes_behind_the_picture_may_be_of_it() -> None:
    """Damaged data often end early, and cameras leave bytes behind whole ones."""
    assert warnings(ODD_BUT_WHOLE["bytes before the end marker"]) == [WarningCategory.DAMAGED]
    assert warnings(COLOUR) == []
    many = inserted(COLOUR, len(COLOUR) - 2, COLOUR[coded_data(COLOUR) : -2])
    assert failure(many).category is ErrorCategory.CORRUPT


def test_a_hole_of_zeros_is_damage_where_bytes_are_left_over() -> None:
    body = ODD_BUT_WHOLE["bytes before the end marker"]
    for at in range(coded_data(body), len(body) - 1100, 300):
        assert failure(body[:at] + bytes(1000) + body[at + 1000 :]).category is ErrorCategory.CORRUPT, at


def test_jpeg_that_was_sent_as_text_says_so() -> None:
    body = encode(textured(400, 300), "JPEG", quality=85)
    assert body.count(b"\n") > 16
    assert "binary" in failure(body.replace(b"\n", b"\r\n")).detail


def test_jpeg_that_states_its_height_behind_its_data_is_read() -> None:
    frame = COLOUR.index(b"\xff\xc0")
    headless = COLOUR[: frame + 5] + b"\0\0" + COLOUR[frame + 7 : -2] + struct.pack(">HHH", 0xFFDC, 4, 184) + END
    assert np.array_equal(decode(headless), decode(COLOUR))


@pytest.mark.parametrize(
    ("frame", "precision", "says"),
    [(0xC1, 12, "12 bits"), (0xC3, 16, "16 bits"), (0xF7, 8, "JPEG-LS"), (0xC5, 8, "hierarchical")],
)
def test_a_jpeg_of_a_kind_that_is_not_read_is_not_called_damaged(frame: int, precision: int, says: str) -> None:
    at = COLOUR.index(b"\xff\xc0")
    error = failure(COLOUR[: at + 1] + bytes([frame]) + COLOUR[at + 2 : at + 4] + bytes([precision]) + COLOUR[at + 5 :])
    assert error.category is ErrorCategory.CORRUPT
    assert says in error.detail
    assert "convert it" in error.detail
    assert "damaged" not in error.detail


def lossless(height: int, width: int) -> bytes:
    """A grey JPEG in which each sample is the one before, the first of them 128: all differences are of 0 bits."""
    frame = struct.pack(">HHBHHB3B", 0xFFC3, 11, 8, height, width, 1, 1, 0x11, 0)
    table = struct.pack(">HHB", 0xFFC4, 20, 0) + b"\1" + bytes(15) + b"\0"
    scan = struct.pack(">HHB2B3B", 0xFFDA, 8, 1, 1, 0, 1, 0, 0)
    return b"\xff\xd8" + frame + table + scan + bytes(height * width // 8) + END


def test_lossless_grey_is_read() -> None:
    assert np.array_equal(decode(lossless(16, 24)), np.full((16, 24, 3), 128))


def test_jpeg_of_unusual_sampling_is_read() -> None:
    """Four blocks of the first component to two of the second and one of the third, all of middle grey."""
    body = encode(Image.new("L", (56, 8), 128), "JPEG")
    frame, scan = body.index(b"\xff\xc0"), body.index(b"\xff\xda")
    components = b"\x01\x22\0\x02\x21\0\x03\x11\0"
    unusual = (
        body[:frame]
        + struct.pack(">HHBHHB", 0xFFC0, 17, 8, 16, 16, 3)
        + components
        + body[frame + 13 : scan]
        + struct.pack(">HHB", 0xFFDA, 12, 3)
        + b"\x01\0\x02\0\x03\0\0\x3f\0"
        + body[scan + 10 :]
    )
    with pytest.raises(ValueError, match="subsampling"):
        simplejpeg.decode_jpeg_header(unusual)
    assert np.array_equal(decode(unusual), np.full((16, 16, 3), 128))
    assert warnings(unusual) == [WarningCategory.DAMAGED]
