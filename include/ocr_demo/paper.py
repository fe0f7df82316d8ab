"""Papers: receipts, invoices, forms and pages of prose."""

from __future__ import annotations

from random import Random

from ocr_demo.phrases import Phrases
from ocr_demo.sheet import Align, Sheet, wrap
from ocr_demo.styles import CREAM, GREY, INK, PALETTES, PAPER, WHITE, book, display, typewriter

_INVOICE_COLUMNS: tuple[tuple[float, Align], ...] = ((80, "left"), (580, "right"), (760, "right"), (940, "right"))
"""Where the cells of an invoice's table stand: x in pixels, and which side of the text is there."""


def receipt(phrases: Phrases, random: Random) -> Sheet:
    """A till receipt."""
    family = typewriter(phrases.language, random)
    size = random.choice((22, 24, 26))
    step = round(size * 1.5)
    sheet = Sheet(21 * size, 2000, random.choice((WHITE, PAPER, (240, 240, 244))))
    left, right = 1.4 * size, sheet.width - 1.4 * size
    middle = sheet.width / 2
    # Thermal paper fades.
    ink = random.choice((INK, INK, (84, 82, 92), (112, 110, 122)))
    pen, strong, small = family.pen(size, ink), family.strong(size, ink), family.pen(size - 4, ink)

    y = 1.6 * size
    title = family.strong(size + 12, ink).fitted(phrases.shop.name, right - left)
    sheet.write(middle, y, phrases.shop.name, title, "centre")
    y += title.size * 1.6
    for line in (phrases.shop.address, phrases.shop.phone):
        sheet.write(middle, y, line, small.fitted(line, right - left), "centre")
        y += step
    time = f"{random.randint(8, 19):02d}:{random.randint(0, 59):02d}"
    sheet.row(y, [(left, phrases.date, "left"), (right, time, "right")], pen)
    y += step
    sheet.dashes(y + 6, left, right, GREY)
    y += step * 0.7

    total = 0
    for item in random.sample(phrases.goods, random.randint(5, 9)):
        cents = random.randint(79, 1899)
        total += cents
        sheet.row(y, [(left, item, "left"), (right, phrases.amount(cents), "right")], pen)
        y += step
    sheet.dashes(y + 6, left, right, GREY)
    y += step * 0.7

    words = phrases.receipt
    paid = -(-total // 1000) * 1000
    big = family.strong(size + 6, ink)
    sheet.row(y, [(left, words.total, "left"), (right, phrases.price(total), "right")], big)
    y += round(big.size * 1.6)
    tax = round(total * words.rate / (100 + words.rate))
    for label, cents in ((words.tax, tax), (words.cash, paid), (words.change, paid - total)):
        sheet.row(y, [(left, label, "left"), (right, phrases.amount(cents), "right")], pen)
        y += step
    y += step * 0.5
    sheet.write(middle, y, words.till, small.fitted(words.till, right - left), "centre")
    y += step * 1.1
    sheet.write(middle, y, words.thanks, strong.fitted(words.thanks, right - left), "centre")
    sheet.cut(y + 2.6 * step)
    sheet.tear()
    return sheet


def invoice(phrases: Phrases, random: Random) -> Sheet:
    """An A4 invoice with a table."""
    family = display(phrases.language, random)
    palette = random.choice(PALETTES)
    words = phrases.invoice
    sheet = Sheet(1020, 1440, WHITE)
    left, right = 80, 940
    sheet.block((0, 0, sheet.width, 130), palette.deep)
    sheet.row(
        44,
        [(left, words.title, "left"), (right, phrases.shop.name, "right")],
        family.strong(40, WHITE).fitted(f"{words.title}     {phrases.shop.name}", right - left),
    )
    pen, small = family.pen(24), family.pen(21, GREY)
    sheet.write(right, 156, f"{phrases.shop.address}", small, "right")
    y = 230
    number = f"{random.randint(2024, 2026)}-{random.randint(100, 9999):04d}"
    sheet.row(y, [(left, words.to, "left"), (600, words.number, "left"), (right, number, "right")], family.strong(22))
    for index, line in enumerate(phrases.customer):
        y += 38
        if index:
            sheet.write(left, y, line, pen)
        else:
            sheet.row(y, [(left, line, "left"), (600, words.date, "left"), (right, phrases.date, "right")], pen)

    y += 90
    sheet.block((left - 16, y - 14, right + 16, y + 42), palette.pale)
    heads = (words.item, words.quantity, words.price, words.amount)
    _table_row(sheet, y, heads, phrases, strong=True)
    y += 68
    subtotal = 0
    for item in random.sample(phrases.services, random.randint(4, 6)):
        count, cents = random.randint(1, 12), random.randint(12, 380) * 50
        subtotal += count * cents
        cells = (item, str(count), phrases.amount(cents), phrases.amount(count * cents))
        _table_row(sheet, y, cells, phrases)
        sheet.rule(y + 44, left - 16, right + 16, (206, 208, 214), 1)
        y += 62
    y += 20
    tax = round(subtotal * words.rate / 100)
    for label, cents in ((words.subtotal, subtotal), (words.tax, tax)):
        sheet.row(y, [(580, label, "left"), (right, phrases.amount(cents), "right")], pen)
        y += 46
    sheet.block((560, y - 8, right + 16, y + 52), palette.deep)
    total = phrases.price(subtotal + tax)
    strong = family.strong(28, WHITE).fitted(f"{words.total}   {total}", right - 580)
    sheet.row(y + 4, [(580, words.total, "left"), (right, total, "right")], strong)
    sheet.paragraph(left, y + 130, right - left, words.terms, small)
    sheet.cut(max(1180, y + 260))
    return sheet


def _table_row(sheet: Sheet, y: float, cells: tuple[str, ...], phrases: Phrases, strong: bool = False) -> None:
    family = display(phrases.language, Random(phrases.language))
    pen = family.strong(22) if strong else family.pen(22)
    placed = [(x, text, align) for (x, align), text in zip(_INVOICE_COLUMNS, cells, strict=True)]
    sheet.row(y, placed, pen)


def form(phrases: Phrases, random: Random) -> Sheet:
    """A filled form: printed labels, typed values in boxes."""
    family = display(phrases.language, random)
    typed = typewriter(phrases.language, random)
    palette = random.choice(PALETTES)
    sheet = Sheet(960, 1300, random.choice((WHITE, PAPER)))
    left, right = 70, 890
    sheet.write(left, 60, phrases.form.title, family.strong(42, palette.deep).fitted(phrases.form.title, right - left))
    sheet.rule(128, left, right, palette.deep, 4)
    y = 168
    for label, value in phrases.form.fields_:
        sheet.frame((left, y, right, y + 92), (150, 154, 162), 2, 6)
        sheet.write(left + 16, y + 8, label, family.pen(20, GREY))
        sheet.write(left + 30, y + 42, value, typed.pen(30, (26, 44, 120)).fitted(value, right - left - 60))
        y += 112
    for offset in (0, 1):
        box = (left + 44 * offset, y + 14, left + 44 * offset + 28, y + 42)
        sheet.frame(box, INK, 3)
    sheet.draw.line((left + 5, y + 27, left + 12, y + 36, left + 24, y + 18), fill=(26, 44, 120, 255), width=4)
    sheet.write(left + 96, y + 14, phrases.form.note, family.pen(22, GREY))
    sheet.cut(y + 96)
    return sheet


def prose(phrases: Phrases, random: Random) -> Sheet:
    """A dense page of running text, in one column or two."""
    family = book(phrases.language)
    columns, size = random.choice(((1, 24), (1, 20), (2, 20), (2, 18)))
    gutter = 44
    sheet = Sheet(840 if columns == 1 else 980, 2400, random.choice((WHITE, PAPER, CREAM)))
    left, right, top = 76, sheet.width - 76, 178
    width = (right - left - gutter * (columns - 1)) / columns
    title = family.strong(44).fitted(phrases.prose.title, right - left)
    sheet.write(left, 70, phrases.prose.title, title)
    sheet.rule(148, left, right, GREY, 1)

    pen = family.pen(size)
    step = size * 1.5
    lines = wrap(phrases.prose.text, pen, width)
    rows = -(-len(lines) // columns)
    for index, line in enumerate(lines):
        column, row = divmod(index, rows)
        sheet.write(left + column * (width + gutter), top + row * step, line, pen)
    bottom = top + rows * step
    sheet.write(sheet.width / 2, bottom + 36, str(random.randint(12, 318)), family.pen(20, GREY), "centre")
    sheet.cut(bottom + 100)
    return sheet
