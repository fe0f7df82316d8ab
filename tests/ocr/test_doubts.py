"""Pages in scripts that the model does not know: what is told of them, and that nothing is told of others."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from ocr_demo.fonts import Face
from ocr_pipeline.errors import Status, WarningCategory
from ocr_pipeline.ocr.doubts import Doubts, Reading
from ocr_pipeline.records import FetchedImage, ImageRef, Page, PageText, read_row
from ocr_pipeline.settings.models import MODELS, model_by_script
from tests.ocr.conftest import LoadEngine
from tests.ocr.drawing import draw_page, receipt

INK = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3)).astype(np.uint8)
PAPER = np.full((1000, 1000, 3), 250, np.uint8)


def line(text: str, confidence: float, length: float = 10.0, row: int = 0) -> Reading:
    """A line that is ``length`` times as long as it is high."""
    top = 25.0 * row
    corners = np.array([(10, top), (10 + 20 * length, top), (10 + 20 * length, top + 20), (10, top + 20)], np.float32)
    return text, confidence, corners


def told(lines: Iterable[Reading], model: str = "small", languages: tuple[str, ...] = ()) -> str:
    """The detail of the one warning about a page with these lines, or nothing."""
    warnings = Doubts(model, languages).about(lines, INK)
    assert all(warning.category is WarningCategory.UNKNOWN_SCRIPT for warning in warnings)
    return " ".join(warning.detail for warning in warnings)


def test_a_page_that_is_mostly_unsure_names_the_models_for_other_scripts() -> None:
    detail = told([line("Moeкка", 0.6), line("Nepuok", 0.7), line("Total", 0.99)])
    assert detail.startswith("67% of the text was not read surely.")
    assert "Model small reads Chinese, Japanese and Latin." in detail
    assert "make models MODEL=NAME" in detail
    for script, name in model_by_script().items():
        assert script in MODELS[name].scripts
        assert (name in detail) == (script not in ("han", "kana"))


def test_a_page_that_is_mostly_sure_says_nothing() -> None:
    assert not told([line("Total", 0.99), line("Milk", 0.9), line("~~", 0.3), line("", 0.0)])
    assert not told([])


def test_lines_of_which_nothing_was_read_count() -> None:
    assert told([line("", 0.0), line("  ", 0.96), line("Seoul", 0.99, 6.0)])


def test_lines_on_empty_paper_are_none() -> None:
    found = [line("", 0.0, row=1), line("Tereno", 0.99, 4.0)]
    assert Doubts("small").about(found, INK)
    assert not Doubts("small").about(found, PAPER)


def test_lines_at_the_very_edge_of_a_page() -> None:
    right, bottom = (
        np.array([(x, y), (1000, y), (1000, 1000), (x, 1000)], np.float32) for x, y in ((1000, 0), (0, 1000))
    )
    assert not Doubts("small").about([("", 0.0, right), ("", 0.0, bottom)], PAPER)


def test_figures_are_in_every_script() -> None:
    prices = [line("12.50", 0.99, 3.0), line("€ 4,80", 0.98, 4.0), line("31/12/2025", 1.0, 9.0)]
    assert told([*prices, line("Xne6", 0.6, 4.0)])
    assert not told(prices)


def test_what_is_as_short_as_marks_in_pictures_is_no_evidence() -> None:
    assert not told([line("中", 0.1, 1.0), line("X", 0.5, 1.2), line("0", 0.2, 0.8), line("", 0.0, 1.1)])
    assert not told([line("H", 0.6, 2.0)])


def test_columns_that_run_downwards_have_their_length() -> None:
    corners = np.array([(0, 0), (20, 0), (20, 200), (0, 200)], np.float32)
    assert told([("#", 0.3, corners)])


def test_letters_that_a_model_knows_as_symbols_only_are_not_text() -> None:
    greek = [line("τιμοκατλο", 0.92), line("ευχαριστ πολ", 0.9)]
    assert told(greek)
    assert not told(greek, "el_PP-OCRv5_mobile")
    assert not told([line("angle α + β, sine of θ", 0.95)])


@pytest.mark.parametrize("text", ["レシート 東京", "收据 北京", "Straße, façade, łódź", "№ 12 ℃ © µ"])
def test_every_script_of_the_model_is_text(text: str) -> None:
    assert not told([line(text, 0.95)])


def test_languages_are_said_to_be_too_few() -> None:
    detail = told([line("#*3", 0.5), line("E RT", 0.6)], languages=("en", "de"))
    assert "Only characters of en, de are read" in detail
    assert "setting languages" in detail
    # Kana that was read where only Chinese was asked for cannot be, so what is left is unsure; not so for Japanese.
    assert told([line("カタカナ", 0.9)], languages=("zh",))
    assert not told([line("カタカナ 漢字", 0.9)], languages=("ja",))


@pytest.mark.parametrize(
    "lines",
    [
        ["Mi ngưi sinh ra đu đưc t do", "và bình đng v nhân phm"],
        ["Đa ch: 12 Nguyn Hu", "Đơn giá", "Tin mt"],
        ["Cà phê sa đá", "Tng cng: 110.000 đ"],
    ],
)
def test_vietnamese_is_known_by_its_letters(lines: list[str]) -> None:
    detail = told([line(text, 0.98) for text in lines])
    assert "Vietnamese" in detail
    assert "make models" not in detail


@pytest.mark.parametrize(
    "lines",
    [
        [
            "Proizvođač: Zagreb, uvoznik za područje",
            "Fabriqué à Lyon, à conserver au frais",
        ],  # a label in two languages
        ["Þetta er íslenska", "è così, perché no", "être où là", "São João, maçã"],
        ["Wikipédia ơ"],
    ],
)
def test_other_languages_with_such_letters_are_not_vietnamese(lines: list[str]) -> None:
    assert not told([line(text, 0.98) for text in lines])


def test_pages_that_are_said_to_be_vietnamese_are() -> None:
    assert "Vietnamese" in told([line("Nhà thuc", 0.98)], languages=("vi",))
    assert not told([line("12.50", 0.98)], languages=("vi",))


# Each with its joined letters apart, where the script joins them: the layout that every Pillow has does not join.
FOREIGN = {
    "Russian": ["Продуктовый магазин", "Хлеб ржаной", "Молоко топлёное", "Спасибо за покупку"],
    "Greek": ["Παντοπωλείο της γειτονιάς", "Ψωμί ολικής άλεσης", "Γάλα αγελάδος", "Ευχαριστούμε πολύ"],
    "Hebrew": ["חנות המכולת השכונתית", "לחם אחיד פרוס", "חלב טרי", "תודה רבה ולהתראות"],
    "Thai": ["รานขายของชา", "ขนมปงโฮลวต", "นมสด", "ขอบคณทใชบรการ"],
    "Hindi": ["किराना की दुकान", "गेहू की रोटी", "ताजा दूध", "धन्यवाद फिर आइए"],
    "Arabic": ["محل البقالة", "خبز القمح", "حليب طازج", "شكرا لزيارتكم"],
    "Georgian": ["სასურსათო მაღაზია", "ხორბლის პური", "ახალი რძე", "გმადლობთ"],
    "Korean": ["동네 식료품 가게", "통밀 식빵", "신선한 우유", "이용해 주셔서 감사합니다"],
}


def shop(language: str, size: int = 30) -> Page:
    """A receipt in a language: a name, two goods with their prices, and thanks."""
    name, *goods, thanks = FOREIGN[language]
    texts = [(name, 60, 40), (thanks, 60, 40 + 8 * size)]
    for row, good in enumerate(goods):
        y = 40 + (3 + 2 * row) * size
        texts += [(good, 60, y), (("3.75", "12.40")[row], 16 * size, y)]
    return draw_page(
        22 * size, 60 + 10 * size, texts, size=size, face=Face.CHINESE if language == "Korean" else Face.SANS
    )


def categories(text: PageText) -> list[WarningCategory]:
    return [warning.category for warning in text.warnings]


@pytest.mark.slow
@pytest.mark.parametrize("language", FOREIGN)
@pytest.mark.parametrize("languages", [(), ("en",)])
def test_pages_in_other_scripts_are_told_of(engines: LoadEngine, language: str, languages: tuple[str, ...]) -> None:
    engine = engines(languages=languages)
    for size in (18, 30):
        assert categories(engine.read(shop(language, size))) == [WarningCategory.UNKNOWN_SCRIPT]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "paddleocr"])
def test_every_engine_tells(engines: LoadEngine, engine: str) -> None:
    for language in ("Russian", "Korean"):
        (warning,) = engines(engine=engine).read(shop(language)).warnings
        assert "cyrillic_PP-OCRv5_mobile" in warning.detail
        assert "korean_PP-OCRv5_mobile" in warning.detail
    assert not engines(engine=engine).read(receipt()).warnings


@pytest.mark.slow
def test_chinese_read_as_english_is_told_of(engines: LoadEngine) -> None:
    page = draw_page(
        700, 300, [("社区便利店", 60, 40), ("欢迎再次光临", 60, 120), ("全麦面包", 60, 200)], face=Face.CHINESE
    )
    assert not engines().read(page).warnings
    (warning,) = engines(languages=("en",)).read(page).warnings
    assert "setting languages" in warning.detail


@pytest.mark.slow
@pytest.mark.parametrize("languages", [(), ("en",)])
def test_pages_that_can_be_read_are_not_told_of(engines: LoadEngine, languages: tuple[str, ...]) -> None:
    for page in (
        receipt(),
        receipt(turn=4.0),
        draw_page(900, 200, [("Zażółć gęślą jaźń, größte Öfen", 40, 60)], face=Face.SANS),
    ):
        assert not engines(languages=languages).read(page).warnings


@pytest.mark.slow
def test_a_page_of_which_nothing_was_read_has_the_warning_in_its_row(engines: LoadEngine) -> None:
    page = draw_page(700, 200, [(FOREIGN["Korean"][0], 60, 40), (FOREIGN["Korean"][3], 60, 120)], face=Face.CHINESE)
    image = FetchedImage(ImageRef(0, "a.png"), b"", "", None, 1, 0.0)
    row = read_row(image, page, engines(min_confidence=0.9).read(page), 0.0, "model")
    assert row.status is Status.NO_TEXT
    assert row.warnings == ["unknown_script"]
    assert row.warning_detail is not None
    assert "korean_PP-OCRv5_mobile" in row.warning_detail
