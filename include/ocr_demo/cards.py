"""Labels, tickets, price lists and signs."""

from __future__ import annotations

from random import Random

from ocr_demo.phrases import Phrases
from ocr_demo.sheet import Colour, Sheet
from ocr_demo.styles import CREAM, GREY, INK, NIGHT, PALETTES, WHITE, display, typewriter

_AMBER: Colour = (250, 178, 52)


def ticket(phrases: Phrases, random: Random) -> Sheet:
    """A ticket with a stub."""
    family, palette, words = display(phrases.language, random), random.choice(PALETTES), phrases.ticket
    sheet = Sheet(980, 400, palette.pale)
    sheet.block((0, 0, sheet.width, 92), palette.deep)
    title = family.strong(44, WHITE).fitted(words.title, 560)
    sheet.row(
        22, [(40, words.title, "left"), (940, words.kind, "right")], title.fitted(f"{words.title}    {words.kind}", 900)
    )
    stub = 700
    sheet.write(40, 118, words.from_, family.pen(32))
    sheet.write(40, 166, words.to, family.strong(42, palette.deep).fitted(words.to, stub - 70))
    sheet.write(40, 240, words.when, family.pen(30))
    values = (random.choice("ABCDE") + str(random.randint(1, 9)), str(random.randint(10, 68)))
    price = phrases.price(random.randint(4, 48) * 50)
    for index, (label, value) in enumerate(zip(words.labels, (*values, price), strict=True)):
        y = 112 + 66 * index
        sheet.row(
            y, [(stub + 36, label, "left"), (940, value, "right")], family.strong(30).fitted(f"{label}  {value}", 200)
        )
    sheet.write(40, 336, words.note, family.pen(22, GREY).fitted(words.note, stub - 70))
    sheet.bars((stub + 36, 318, 940, 370), random)
    for y in range(104, 396, 18):
        sheet.block((stub, y, stub + 4, y + 9), GREY)
    sheet.round_off(22)
    return sheet


def menu(phrases: Phrases, random: Random) -> Sheet:
    """A list of dishes: chalk on a blackboard, or print on card."""
    family, palette, words = display(phrases.language, random), random.choice(PALETTES), phrases.menu
    dark = random.random() < 0.5
    ground, ink, accent = ((38, 44, 42), (236, 236, 226), palette.accent) if dark else (CREAM, INK, palette.deep)
    sheet = Sheet(820, 1100, ground)
    left, right = 80, 740
    title = family.strong(56, accent).fitted(words.title, right - left)
    sheet.write(sheet.width / 2, 70, words.title, title, "centre")
    sheet.rule(160, 280, 540, accent, 3)
    pen = family.pen(30, ink)
    y = 200
    for dish in words.dishes:
        price = phrases.amount(random.randint(6, 46) * 50)
        sheet.row(y, [(left, dish, "left"), (right, price, "right")], pen.fitted(f"{dish}    {price}", right - left))
        y += 66
    sheet.write(sheet.width / 2, y + 30, words.note, family.pen(24, accent).fitted(words.note, right - left), "centre")
    sheet.cut(y + 120)
    sheet.frame((24, 24, sheet.width - 25, sheet.height - 25), accent, 3, 12)
    return sheet


def product(phrases: Phrases, random: Random) -> Sheet:
    """The label of a jar or a bottle, down to its small print."""
    family, palette, words = display(phrases.language, random), random.choice(PALETTES), phrases.product
    sheet = Sheet(720, 900, palette.pale)
    middle = sheet.width / 2
    sheet.draw.ellipse((middle - 46, 34, middle + 46, 126), fill=(*palette.accent, 255))
    sheet.draw.ellipse((middle - 30, 50, middle + 30, 110), fill=(*palette.pale, 255))
    sheet.block((0, 150, sheet.width, 290), palette.deep)
    sheet.write(middle, 178, words.name, family.strong(64, WHITE).fitted(words.name, 620), "centre")
    sheet.write(middle, 314, words.kind, family.strong(36, palette.deep), "centre")
    sheet.write(middle, 372, words.claim, family.pen(30), "centre")
    sheet.rule(440, 120, 600, palette.accent, 4)
    sheet.write(middle, 462, words.weight, family.strong(32), "centre")
    bottom = sheet.paragraph(70, 540, 580, words.small, family.pen(21, INK), leading=1.5)
    sheet.bars((230, bottom + 24, 490, bottom + 96), random)
    sheet.cut(bottom + 136)
    sheet.frame((14, 14, sheet.width - 15, sheet.height - 15), palette.accent, 4, 26)
    sheet.round_off(38)
    return sheet


def parcel(phrases: Phrases, random: Random) -> Sheet:
    """A shipping label."""
    family, words = display(phrases.language, random), phrases.parcel
    sheet = Sheet(840, 760, WHITE)
    left, right = 40, 800
    sheet.frame((14, 14, 825, 745), INK, 4)
    sheet.write(left, 34, words.from_, family.strong(22))
    y = 66
    for line in words.sender:
        sheet.write(left, y, line, family.pen(24))
        y += 34
    sheet.block((500, 14, 825, 152), INK)
    service = family.strong(46, WHITE).fitted(words.service, 280)
    sheet.write(662, 82 - service.size * 0.6, words.service, service, "centre")
    sheet.rule(152, 14, 825, INK, 4)
    sheet.write(left, 176, words.to, family.strong(24))
    y = 216
    for line in words.lines:
        pen = family.strong(44).fitted(line, right - left)
        sheet.write(left, y, line, pen)
        y += 62
    sheet.rule(y + 20, 14, 825, INK, 4)
    typed = typewriter(phrases.language, random)
    for index, note in enumerate(words.notes):
        sheet.write(left, y + 44 + 44 * index, note, typed.pen(28).fitted(note, 360))
    sheet.bars((440, y + 48, right, y + 140), random)
    code = "".join(str(random.randint(0, 9)) for _ in range(12))
    sheet.write(620, y + 152, code, typed.pen(26), "centre")
    sheet.cut(y + 206)
    sheet.frame((14, 14, 825, sheet.height - 15), INK, 4)
    return sheet


def sign(phrases: Phrases, random: Random) -> Sheet:
    """The sign of a shop."""
    return _board(phrases.sign, phrases.language, random)


def notice(phrases: Phrases, random: Random) -> Sheet:
    """A notice or the name of a place beside a road."""
    return _board(phrases.notice, phrases.language, random)


def _board(lines: tuple[str, ...], language: str, random: Random) -> Sheet:
    """A few large words, light on dark or dark on light."""
    family, palette = display(language, random), random.choice(PALETTES)
    dark = random.random() < 0.7
    ground, ink, second = (palette.deep, WHITE, palette.accent) if dark else (palette.pale, palette.deep, INK)
    first = family.strong(92, ink).fitted(lines[0], 780)
    rest = [family.pen(50, second).fitted(line, 780) for line in lines[1:]]
    height = 90 + first.size * 1.5 + sum(pen.size * 1.6 for pen in rest)
    sheet = Sheet(900, round(height), ground)
    sheet.write(450, 50, lines[0], first, "centre")
    y = 50 + first.size * 1.5
    for line, pen in zip(lines[1:], rest, strict=True):
        sheet.write(450, y, line, pen, "centre")
        y += pen.size * 1.6
    sheet.frame((14, 14, 885, sheet.height - 15), ink, 5, 20)
    sheet.round_off(30)
    return sheet


def departures(phrases: Phrases, random: Random) -> Sheet:
    """A departures board: amber characters on black."""
    family = typewriter(phrases.language, random)
    sheet = Sheet(1100, 700, NIGHT)
    places = (phrases.ticket.to, phrases.ticket.from_, *phrases.parcel.lines[1:], *phrases.customer[:1])
    minute = random.randint(0, 20)
    y = 50
    for place in places:
        minute += random.randint(3, 11)
        time = f"{9 + minute // 60:02d}:{minute % 60:02d}"
        sheet.block((30, y - 14, 1070, y + 66), (8, 10, 14), 8)
        platform = str(random.randint(1, 12))
        pen = family.pen(42, _AMBER).fitted(place, 660)
        sheet.row(y, [(60, time, "left"), (250, place, "left"), (1040, platform, "right")], pen)
        y += 96
    sheet.cut(y + 10)
    return sheet


def sticker(phrases: Phrases, random: Random) -> Sheet:
    """Dark ink on a transparent ground, as shops keep their logos and badges."""
    return _transparent(phrases, random, INK, random.choice(PALETTES).deep)


def light_sticker(phrases: Phrases, random: Random) -> Sheet:
    """Light ink on a transparent ground, made to stand on something dark."""
    return _transparent(phrases, random, WHITE, random.choice(PALETTES).accent)


def _transparent(phrases: Phrases, random: Random, ink: Colour, accent: Colour) -> Sheet:
    family, words = display(phrases.language, random), phrases.product
    sheet = Sheet(760, 360, None)
    sheet.frame((10, 10, 749, 349), accent, 6, 40)
    sheet.write(380, 60, words.name, family.strong(68, ink).fitted(words.name, 660), "centre")
    sheet.rule(164, 200, 560, accent, 4)
    sheet.write(380, 186, words.claim, family.pen(38, ink).fitted(words.claim, 660), "centre")
    sheet.write(380, 256, words.weight, family.strong(34, accent), "centre")
    return sheet
