import pytest

from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.run import RunSettings

NEEDED = {"dataset": "/data/links.csv", "output": "/data/out"}


def test_defaults_fill_in() -> None:
    settings = RunSettings.parse(NEEDED)
    assert (settings.engine, settings.model, settings.languages) == ("auto", "small", ())
    assert (settings.resize, settings.orientation, settings.device) == ("keep", "auto", "cpu")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batch_size": 0}, ["batch_size: 0 is not allowed", "greater than or equal to 1"]),
        ({"engine": "tesseract"}, ["engine: 'tesseract' is not allowed", "'openvino'", "'paddleocr'"]),
        ({"resize": "crop"}, ["resize: 'crop' is not allowed", "'keep' or 'stretch'"]),
        ({"orientation": "down"}, ["orientation: 'down' is not allowed", "'auto' or 'none'"]),
        ({"device": "cuda:1"}, ["device: 'cuda:1' is not allowed", "cpu, gpu, or one GPU of several such as gpu:1"]),
        ({"words": "maybe"}, ["words: 'maybe' is not allowed", "write true or false"]),
        ({"pdf_dpi": 9}, ["pdf_dpi: 9 is not allowed", "greater than or equal to 72"]),
        ({"concurency": 3}, ["concurency: there is no such setting", "concurrency"]),
        ({"total_timeout": 1}, ["total_timeout must not be shorter"]),
        ({"dataset": ""}, ["dataset: '' is not allowed"]),
        ({"limit": "ten"}, ["limit: 'ten' is not allowed"]),
        ({"languages": ["klingon"]}, ["klingon", "en"]),
    ],
)
def test_wrong_values_are_refused_with_what_is_allowed(values: dict[str, object], said: list[str]) -> None:
    with pytest.raises(SettingsError) as refused:
        RunSettings.parse(NEEDED | values)
    for part in said:
        assert part in str(refused.value)


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"(?s)output: is needed.*batch_size"):
        RunSettings.parse({"dataset": "x", "batch_size": -1})
