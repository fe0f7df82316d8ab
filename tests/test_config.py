import pytest

from ocr_pipeline.config import Allowances, RunSettings
from ocr_pipeline.errors import SettingsError

NEEDED = {"dataset": "/data/links.csv", "output": "/data/out"}


def test_defaults_fill_in() -> None:
    settings = RunSettings.parse(NEEDED)
    assert settings.engine == "auto"
    assert settings.batch_size >= 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batch_size": 0}, ["batch_size: 0 is not allowed", "greater than or equal to 1"]),
        ({"engine": "tesseract"}, ["engine: 'tesseract' is not allowed", "'openvino'", "'paddleocr'"]),
        ({"resize": "crop"}, ["resize: 'crop' is not allowed", "'keep' or 'stretch'"]),
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


def test_fingerprint_tells_settings_apart() -> None:
    one, same, other = (RunSettings.parse(NEEDED | {"limit": n}) for n in (1, 1, 2))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("entry", "address", "port", "allowed"),
    [
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("127.0.0.1:8000", "127.0.0.1", 8000, True),
        ("127.0.0.1:8000", "127.0.0.1", 8001, False),
        ("localhost", "127.0.0.1", 1, True),
        ("::1", "::1", 80, True),
        ("[::1]:9000", "::1", 9000, True),
        ("[::1]:9000", "::1", 80, False),
        ("fd00::/8", "fd12::1", 443, True),
        ("10.0.0.0/8", "fd12::1", 443, False),
    ],
)
def test_networks_are_allowed_by_name(entry: str, address: str, port: int, allowed: bool) -> None:
    assert Allowances.parse(entry).allows_address(address, port) is allowed


def test_folders_are_allowed_with_links_resolved(tmp_path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    allowances = Allowances.parse(f"{inside},\n10.0.0.0/8")
    assert allowances.allows_path(inside / "a" / "b.png")
    assert not allowances.allows_path(inside / "link" / "b.png")
    assert not allowances.allows_path(inside / ".." / "out" / "b.png")
    assert not allowances.allows_path(tmp_path / "inner.png")


@pytest.mark.parametrize("entry", ["relative/folder", "10.0.0.0/99", "example.org", "127.0.0.1:http"])
def test_an_entry_that_is_neither_is_refused(entry: str) -> None:
    with pytest.raises(SettingsError, match="neither an absolute folder nor a network"):
        Allowances.parse(entry)
