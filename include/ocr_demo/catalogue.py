"""The list of the demo's pictures: what is drawn, in which language, how it is finished and stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from ocr_demo import cards, encode, finish, paper
from ocr_demo.encode import FileFormat
from ocr_demo.finish import Background, Finish
from ocr_demo.phrases import Phrases, load_phrases
from ocr_demo.sheet import Sheet

Drawing = Callable[[Phrases, Random], Sheet]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of the demo. Everything random about it follows from its name."""

    name: str
    kind: str
    phrases: Phrases
    drawing: Drawing
    finish: Finish
    format: FileFormat

    @property
    def language(self) -> str:
        """Language code of what is written on it."""
        return self.phrases.language

    def draw(self) -> Sheet:
        """The clean drawing, with its text."""
        return self.drawing(self.phrases, Random(self.name))

    def picture(self, sheet: Sheet) -> bytes:
        """The image file made of ``sheet``."""
        image = sheet.image
        if not self.format.keeps_transparency:
            image = self.finish.apply(image, self.name)
        return self.format.encode(image)


@dataclass(frozen=True, slots=True)
class _Series:
    """A kind of picture in several locales, going round its backgrounds, formats and scales."""

    kind: str
    drawing: Drawing
    locales: str
    formats: tuple[FileFormat, ...]
    backgrounds: tuple[Background | None, ...] = (None,)
    scales: tuple[float, ...] = (1.0,)
    turn: float = 0.0
    tilt: float = 0.0


_SERIES = (
    _Series(
        "receipt",
        paper.receipt,
        "en_gb en_us de fr es pt it pl cs zh ja",
        (encode.JPEG, encode.JPEG_SIDEWAYS, encode.JPEG_POOR, encode.WEBP, encode.JPEG_GREY),
        (finish.wood, finish.stone, None, finish.linen),
        (1.0, 0.7, 1.25, 0.6),
        turn=7,
        tilt=0.05,
    ),
    _Series(
        "invoice",
        paper.invoice,
        "en_gb en_us de fr es pl cs zh ja",
        (encode.PNG, encode.JPEG_CMYK, encode.TIFF_LZW, encode.JPEG_PROGRESSIVE, encode.PNG_PALETTE),
        (None,),
        (0.9, 0.75, 1.5),
        turn=1.2,
    ),
    _Series(
        "page",
        paper.prose,
        "en_gb en_us de fr es pt it pl cs zh ja",
        (encode.TIFF_DEFLATE_GREY, encode.JPEG_FINE, encode.PNG_16_BIT, encode.TIFF_FAX, encode.PNG_GREY),
        (None,),
        (1.0, 0.8, 1.4),
        turn=2.5,
    ),
    _Series(
        "form",
        paper.form,
        "en_gb en_us de fr pl zh ja",
        (encode.PNG, encode.JPEG_UPSIDE_DOWN, encode.TIFF_LZW, encode.JPEG_GREY, encode.WEBP_LOSSLESS),
        (None, finish.wood),
        scales=(1.0, 0.7, 0.85),
        turn=1.5,
        tilt=0.02,
    ),
    _Series(
        "ticket",
        cards.ticket,
        "en_gb en_us de fr es pt it pl cs zh ja",
        (encode.JPEG, encode.WEBP, encode.JPEG_OTHER_SIDE, encode.PNG, encode.JPEG_POOR),
        (finish.linen, finish.wood, finish.stone),
        (1.0, 0.6, 1.2, 0.7),
        turn=6,
        tilt=0.05,
    ),
    _Series(
        "menu",
        cards.menu,
        "en_gb en_us fr es pt it zh ja",
        (encode.JPEG, encode.PNG, encode.WEBP, encode.JPEG_CMYK),
        (finish.bricks, None, finish.wood),
        (1.0, 0.55, 0.75),
        turn=2,
        tilt=0.04,
    ),
    _Series(
        "product",
        cards.product,
        "en_gb en_us de fr es pt it pl cs zh ja",
        (encode.JPEG, encode.WEBP, encode.PNG, encode.JPEG_FINE, encode.JPEG_PROGRESSIVE),
        (finish.linen, None, finish.stone, finish.wood),
        (1.0, 1.3, 0.7),
        turn=4,
        tilt=0.04,
    ),
    _Series(
        "parcel",
        cards.parcel,
        "en_gb en_us de fr es pl cs zh ja",
        (encode.JPEG, encode.JPEG_GREY, encode.PNG_PALETTE, encode.WEBP),
        (finish.wood, finish.stone, None),
        (1.0, 0.55, 2.0),
        turn=7,
        tilt=0.05,
    ),
    _Series(
        "sign",
        cards.sign,
        "en_gb en_us de fr es pt it pl cs zh ja",
        (encode.JPEG, encode.JPEG_POOR, encode.WEBP, encode.PNG, encode.JPEG_SIDEWAYS),
        (finish.daylight, finish.bricks, finish.dusk),
        (1.0, 0.3, 1.6, 0.5),
        turn=5,
        tilt=0.12,
    ),
    _Series(
        "notice",
        cards.notice,
        "en_gb en_us de fr es pt it pl cs zh ja",
        (encode.WEBP, encode.JPEG, encode.JPEG_PROGRESSIVE, encode.JPEG_POOR),
        (finish.dusk, finish.daylight, finish.bricks),
        (0.6, 1.0, 0.35),
        turn=5,
        tilt=0.12,
    ),
    _Series("board", cards.departures, "en_gb de fr ja", (encode.JPEG, encode.PNG, encode.WEBP), scales=(1.0, 0.8)),
    _Series("sticker", cards.sticker, "fr zh", (encode.PNG_TRANSPARENT, encode.WEBP_TRANSPARENT)),
    _Series("sticker-light", cards.light_sticker, "es ja", (encode.PNG_TRANSPARENT,)),
)


def _pictures() -> Iterator[Picture]:
    phrases = load_phrases()
    for series in _SERIES:
        for index, locale in enumerate(series.locales.split()):
            name = f"{series.kind}-{index + 1:02d}-{phrases[locale].language}"
            yield Picture(
                name=name,
                kind=series.kind,
                phrases=phrases[locale],
                drawing=series.drawing,
                finish=_finish(series, index, Random(f"finish of {name}")),
                format=series.formats[index % len(series.formats)],
            )


def _finish(series: _Series, index: int, random: Random) -> Finish:
    background = series.backgrounds[index % len(series.backgrounds)]
    photographed = background is not None
    return Finish(
        background=background,
        turn=round(random.uniform(-series.turn, series.turn), 2),
        tilt=series.tilt if photographed else 0,
        blur=random.choice((0, 0.5, 0.9)) if photographed else random.choice((0, 0, 0.5)),
        grain=random.choice((2, 5, 9)) if photographed else random.choice((0, 0, 3)),
        shade=random.uniform(0.1, 0.45) if photographed else random.choice((0, 0.08)),
        scale=series.scales[index % len(series.scales)],
    )


PICTURES: tuple[Picture, ...] = tuple(_pictures())
"""Every picture of the demo, in the order in which they are drawn."""
