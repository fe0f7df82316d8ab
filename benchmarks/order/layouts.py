"""Drawn pages of many layouts whose reading order is known.

Each layout puts lines on a sheet in the order in which a person reads them. The words are drawn at random, so that a
line that is read out of place shows. ``LAYOUTS`` names all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

_WORDS = tuple(
    word
    for line in (
        "shadow travel silver paper pocket garden winter doctor market river letter window engine bridge yellow mirror",
        "island copper ocean basket candle stone forest summer harbour village number season kitchen money second",
        "family picture minute country evening station business question morning reason result member history student",
    )
    for word in line.split()
)
_GOODS = (
    "Milk",
    "Bread",
    "Apple juice",
    "Green tea",
    "Butter",
    "Brown rice",
    "Tomatoes",
    "Olive oil",
    "Sea salt",
    "Honey",
)
_LEADING = 1.45
"""Distance of baselines, as a multiple of the size of letters."""


@dataclass
class Sheet:
    """A page to be drawn: its size in pixels, its lines in reading order, and boxes without text."""

    width: int
    height: int
    lines: list[Line] = field(default_factory=list)
    pictures: list[tuple[int, int, int, int]] = field(default_factory=list)
    right_to_left: bool = False

    def put(self, x: float, y: float, text: str, size: int = 22, *, bold: bool = False) -> float:
        """Add the next line, its top left at (x, y); gives the y of the line below it."""
        self.lines.append(Line(round(x), round(y), text, size, bold))
        return y + size * _LEADING

    def draw(self) -> Image.Image:
        """The page, black on white."""
        image = Image.new("L", (self.width, self.height), 255)
        canvas = ImageDraw.Draw(image)
        for box in self.pictures:
            canvas.rectangle(box, fill=190)
        for line in self.lines:
            canvas.text((line.x, line.y), line.text, fill=0, font=font(line.size, line.bold))
        return image.convert("RGB")


@dataclass(frozen=True)
class Line:
    """A line of text: its top left corner in pixels, what it says, and how."""

    x: int
    y: int
    text: str
    size: int
    bold: bool

    @property
    def box(self) -> tuple[float, float, float, float]:
        """What the text covers: left, top, right, bottom."""
        left, top, right, bottom = font(self.size, self.bold).getbbox(self.text)
        return self.x + left, self.y + top, self.x + right, self.y + bottom


_FONTS: dict[tuple[int, bool], ImageFont.FreeTypeFont] = {}


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """A common sans-serif face."""
    key = (size, bold)
    if key not in _FONTS:
        _FONTS[key] = ImageFont.truetype("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf", size)
    return _FONTS[key]


class Words:
    """Random words, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, count: int) -> str:
        """So many words."""
        return " ".join(self.random.choice(_WORDS) for _ in range(count))

    def line(self, width: float, size: int) -> str:
        """As many words as fit in ``width`` pixels."""
        text = self.some(1)
        while True:
            longer = f"{text} {self.some(1)}"
            if font(size).getlength(longer) > width:
                return text
            text = longer

    def price(self) -> str:
        """An amount of money."""
        return f"{self.random.randrange(1, 200)}.{self.random.randrange(100):02}"


def _paragraphs(
    sheet: Sheet, words: Words, x: float, y: float, width: float, lines: int, size: int = 22, *, every: int = 6
) -> float:
    """A column of prose in paragraphs, each ending in a short line."""
    for number in range(lines):
        last = number % every == every - 1 or number == lines - 1
        y = sheet.put(x, y, words.line(width * (0.5 if last else 1), size), size)
        if number % every == every - 1:
            y += size * 0.5
    return y


def _columns(sheet: Sheet, words: Words, y: float, count: int, lines: int, gap: int = 45, size: int = 22) -> None:
    width = (sheet.width - 120 - gap * (count - 1)) / count
    for column in range(count):
        less = words.random.randrange(3)
        _paragraphs(sheet, words, 60 + column * (width + gap), y, width, lines - less, size)


def one_column(words: Words) -> Sheet:
    """Prose under a heading."""
    sheet = Sheet(1000, 1400)
    y = sheet.put(60, 60, words.some(3), 40, bold=True) + 30
    _paragraphs(sheet, words, 60, y, 880, 24)
    return sheet


def two_columns(words: Words) -> Sheet:
    """Two columns of prose under a headline."""
    sheet = Sheet(1240, 1300)
    y = sheet.put(60, 60, words.some(4), 44, bold=True) + 30
    _columns(sheet, words, y, 2, 26)
    return sheet


def three_columns(words: Words) -> Sheet:
    """Three columns of prose without a headline."""
    sheet = Sheet(1500, 1100)
    _columns(sheet, words, 80, 3, 24)
    return sheet


def five_narrow_columns(words: Words) -> Sheet:
    """Columns of about three words a line."""
    sheet = Sheet(1500, 1000)
    _columns(sheet, words, 80, 5, 20, gap=38, size=20)
    return sheet


def headline_over_two_of_three(words: Words) -> Sheet:
    """The first column begins above; a headline stands over the other two."""
    sheet = Sheet(1500, 1200)
    width = 430
    _paragraphs(sheet, words, 60, 80, width, 28)
    y = sheet.put(540, 80, words.some(4), 44, bold=True) + 20
    _paragraphs(sheet, words, 540, y, width, 24)
    _paragraphs(sheet, words, 1015, y, width, 24)
    return sheet


def drop_capital_spread(words: Words) -> Sheet:
    """Two pages of two columns each, the first with a large initial, and a picture."""
    sheet = Sheet(2200, 1300)
    y = sheet.put(70, 60, words.some(4), 56, bold=True) + 30
    sheet.put(70, y, "T", 92, bold=True)
    for number in range(3):
        sheet.put(150, y + number * 32, words.line(350, 22))
    _paragraphs(sheet, words, 70, y + 3 * 32, 430, 24)
    _paragraphs(sheet, words, 560, y, 430, 27)
    sheet.pictures.append((1150, 70, 1600, 420))
    _paragraphs(sheet, words, 1150, 460, 450, 19)
    _paragraphs(sheet, words, 1660, 70, 450, 30)
    return sheet


def picture_between_columns(words: Words) -> Sheet:
    """Two columns that make room for a picture in the middle."""
    sheet = Sheet(1240, 1200)
    sheet.pictures.append((480, 420, 760, 700))
    for x, narrow_x in ((60, 60), (645, 790)):
        y = 80.0
        for _ in range(30):
            beside = 400 < y + 11 < 720
            y = sheet.put(narrow_x if beside else x, y, words.line(390 if beside else 530, 22))
    return sheet


def sidebar(words: Words) -> Sheet:
    """Prose with a narrow box of short lines beside it."""
    sheet = Sheet(1240, 1000)
    y = sheet.put(60, 60, words.some(3), 40, bold=True) + 20
    _paragraphs(sheet, words, 60, y, 780, 22)
    y = sheet.put(910, y + 6, words.some(2), 22, bold=True) + 8
    for _ in range(12):
        y = sheet.put(910, y, words.line(270, 18), 18)
    return sheet


def receipt(words: Words) -> Sheet:
    """Items with their prices at the right edge."""
    sheet = Sheet(700, 1200)
    y = sheet.put(220, 40, words.some(2).upper(), 30, bold=True)
    y = sheet.put(200, y, words.some(3)) + 20
    for label in ("Date:", "Till:"):
        sheet.put(60, y, label)
        y = sheet.put(480, y, f"{words.random.randrange(10, 99)}/{words.random.randrange(10, 99)}")
    y += 20
    for name in words.random.sample(_GOODS, 8):
        sheet.put(60, y, name)
        y = sheet.put(560, y, words.price())
    y += 20
    for name in ("Subtotal", "Tax", "Total"):
        sheet.put(60, y, name, bold=True)
        y = sheet.put(560, y, words.price(), bold=True)
    sheet.put(200, y + 30, words.some(3))
    return sheet


def invoice(words: Words) -> Sheet:
    """An address, data of the invoice beside it, a table, totals at the right."""
    sheet = Sheet(1240, 1300)
    y = sheet.put(60, 60, "INVOICE", 48, bold=True) + 40
    address = y
    for text in (
        words.some(2).title(),
        f"{words.some(2).title()} Ltd",
        f"12 {words.some(1).title()} Street",
        "AB1 2CD",
    ):
        address = sheet.put(60, address, text)
    for label in ("Invoice number", "Date of issue", "Due date", "Customer"):
        sheet.put(740, y, label)
        y = sheet.put(1000, y, str(words.random.randrange(10_000, 99_999)))
    y += 60
    _table(sheet, words, y, (60, 560, 760, 960), ("Description", "Quantity", "Price", "Amount"), 7)
    y = sheet.lines[-1].y + 60.0
    for name in ("Net", "Tax", "Total"):
        sheet.put(760, y, name)
        y = sheet.put(960, y, words.price())
    return sheet


def _table(sheet: Sheet, words: Words, y: float, places: Iterable[int], heads: Iterable[str], rows: int) -> None:
    places = list(places)
    for x, head in zip(places, heads, strict=True):
        sheet.put(x, y, head, bold=True)
    y += 46
    for _ in range(rows):
        sheet.put(places[0], y, words.some(words.random.randrange(1, 4)))
        for x in places[1:]:
            sheet.put(x, y, words.price())
        y += 38


def table_of_numbers(words: Words) -> Sheet:
    """A table with names in its first column and numbers in the others."""
    sheet = Sheet(1240, 900)
    y = sheet.put(60, 60, words.some(3), 32, bold=True) + 30
    _table(sheet, words, y, (60, 420, 620, 820, 1020), ("Region", "North", "South", "East", "West"), 12)
    return sheet


def table_of_words(words: Words) -> Sheet:
    """A table of short texts in close columns."""
    sheet = Sheet(1000, 900)
    y = sheet.put(60, 60, words.some(3), 32, bold=True) + 30
    for head, x in (("Name", 60), ("City", 330), ("Trade", 580)):
        sheet.put(x, y, head, bold=True)
    y += 46
    for _ in range(10):
        for x in (60, 330, 580):
            sheet.put(x, y, words.some(2).title())
        y += 38
    return sheet


def table_with_cells_of_several_lines(words: Words) -> Sheet:
    """Each row has cells of one to three lines, read cell by cell."""
    sheet = Sheet(1240, 1300)
    places, widths = (60, 400, 860), (280, 400, 300)
    y = 80.0
    for x, head in zip(places, ("Task", "What to do", "Who"), strict=True):
        sheet.put(x, y, head, bold=True)
    y += 60
    for _ in range(7):
        deepest = y
        for x, width in zip(places, widths, strict=True):
            below = y
            for _ in range(words.random.randrange(1, 4)):
                below = sheet.put(x, below, words.line(width, 22))
            deepest = max(deepest, below)
        y = deepest + 32
    return sheet


def form(words: Words) -> Sheet:
    """Labels with what was filled in beside them."""
    sheet = Sheet(1000, 1000)
    y = sheet.put(60, 60, words.some(3).title(), 36, bold=True) + 30
    for label in ("Surname:", "Given names:", "Place of birth:", "Nationality:", "Occupation:", "Address:", "Remarks:"):
        sheet.put(60, y, label)
        y = sheet.put(330, y, words.some(words.random.randrange(1, 4)).title()) + 26
    return sheet


def form_in_two_columns(words: Words) -> Sheet:
    """Labels above what was filled in, two fields beside each other."""
    sheet = Sheet(1240, 1000)
    y = sheet.put(60, 60, words.some(3).title(), 36, bold=True) + 30
    for _ in range(6):
        for x in (60, 660):
            below = sheet.put(x, y, f"{words.some(1).title()}:", 18)
            sheet.put(x, below, words.some(2).title(), 24)
        y += 110
    return sheet


def two_lists(words: Words) -> Sheet:
    """Two short lists beside each other, each under its heading."""
    sheet = Sheet(1100, 700)
    for x in (80, 620):
        y = sheet.put(x, 60, words.some(1).upper(), 32, bold=True) + 34
        for _ in range(5):
            y = sheet.put(x, y, words.some(2).capitalize(), 26) + 32
    return sheet


def two_lists_with_prices(words: Words) -> Sheet:
    """A menu: dishes and prices in two columns."""
    sheet = Sheet(1300, 900)
    for x in (60, 700):
        y = sheet.put(x, 60, words.some(1).upper(), 32, bold=True) + 24
        for _ in range(8):
            sheet.put(x, y, words.some(2).capitalize(), 24)
            y = sheet.put(x + 450, y, words.price(), 24) + 20
    return sheet


def letter(words: Words) -> Sheet:
    """A sender at the top right, an address below it at the left, then prose."""
    sheet = Sheet(1000, 1400)
    y = 60.0
    for _ in range(4):
        y = sheet.put(640, y, words.some(2).title())
    y += 30
    for _ in range(4):
        y = sheet.put(60, y, words.some(2).title())
    y = sheet.put(60, y + 60, words.some(4), bold=True) + 30
    _paragraphs(sheet, words, 60, y, 880, 18)
    return sheet


def captions(words: Words) -> Sheet:
    """Three pictures with a caption of three lines under each, twice."""
    sheet = Sheet(1300, 1200)
    for top in (60, 640):
        for column in range(3):
            x = 60 + column * 410
            sheet.pictures.append((x, top, x + 360, top + 380))
        for column in range(3):
            y = top + 400.0
            for _ in range(3):
                y = sheet.put(60 + column * 410, y, words.line(350, 20), 20)
    return sheet


def index(words: Words) -> Sheet:
    """Three columns of short entries with page numbers."""
    sheet = Sheet(1300, 1100)
    sheet.put(60, 50, "Index", 40, bold=True)
    for column in range(3):
        y = 130.0
        for _ in range(26 - column):
            y = sheet.put(60 + column * 410, y, f"{words.some(2)}, {words.random.randrange(5, 400)}", 20)
    return sheet


def slide(words: Words) -> Sheet:
    """A title and two boxes of points, some of two lines."""
    sheet = Sheet(1600, 900)
    sheet.put(80, 60, words.some(4).capitalize(), 52, bold=True)
    for x in (80, 860):
        y = sheet.put(x, 200, words.some(2).title(), 32, bold=True) + 16
        for _ in range(5):
            y = sheet.put(x, y, f"• {words.line(600, 28)}", 28)
            if words.random.random() < 0.5:
                y = sheet.put(x + 26, y, words.line(500, 28), 28)
            y += 14
    return sheet


def columns_and_footnotes(words: Words) -> Sheet:
    """Two columns over notes that go across the page, and a page number."""
    sheet = Sheet(1240, 1500)
    _columns(sheet, words, 80, 2, 30)
    y = 1250.0
    for number in range(3):
        y = sheet.put(60, y, f"{number + 1} {words.line(1060, 17)}", 17)
    sheet.put(600, 1430, "17", 20)
    return sheet


def sections_of_columns(words: Words) -> Sheet:
    """Headlines across the page, each over columns of its own."""
    sheet = Sheet(1500, 1500)
    y = 60.0
    for count in (2, 3, 2):
        y = sheet.put(60, y, words.some(5), 36, bold=True) + 14
        _columns(sheet, words, y, count, 10)
        y = max(line.y for line in sheet.lines) + 80.0
    return sheet


def right_to_left_columns(words: Words) -> Sheet:
    """Two columns in Hebrew letters: the right one is read first."""
    sheet = Sheet(1240, 1100, right_to_left=True)
    letters = "אבגדהוזחטיכלמנסעפצקרשת"
    for x in (650, 60):
        y = 80.0
        for _ in range(22):
            text = ""
            while font(24).getlength(text) < 420:
                text += "".join(words.random.choice(letters) for _ in range(words.random.randrange(3, 8))) + " "
            y = sheet.put(x, y, text.strip(), 24)
    return sheet


LAYOUTS: dict[str, Callable[[Words], Sheet]] = {
    layout.__name__: layout
    for layout in (
        one_column, two_columns, three_columns, five_narrow_columns, headline_over_two_of_three, drop_capital_spread,
        picture_between_columns, sidebar, receipt, invoice, table_of_numbers, table_of_words,
        table_with_cells_of_several_lines, form, form_in_two_columns, two_lists, two_lists_with_prices, letter,
        captions, index, slide, columns_and_footnotes, sections_of_columns, right_to_left_columns,
    )
}  # fmt: skip
"""Every layout by its name."""
