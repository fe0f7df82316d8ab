"""Images that are files: read from allowed folders and from nowhere else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch import Fetcher
from ocr_pipeline.settings.deployment import Allowances
from tests.fetch.conftest import Fetch, failure_of, image_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An allowed folder with an image in it, beside a folder that is not allowed."""
    allowed = tmp_path / "allowed"
    (allowed / "sub").mkdir(parents=True)
    (allowed / "image.jpg").write_bytes(b"an image")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "image.jpg").write_bytes(b"a secret")
    return allowed


@pytest.mark.parametrize(
    "form", ["{}/image.jpg", "file://{}/image.jpg", "file://{}/im%61ge.jpg", "{}/sub/../image.jpg"]
)
def test_file_in_an_allowed_folder(fetch: Fetch, folder: Path, form: str) -> None:
    image = image_of(fetch(form.format(folder), allow=[str(folder)])[0])
    assert image.body == b"an image"
    assert image.sha256 == hashlib.sha256(b"an image").hexdigest()
    assert (image.http_status, image.attempts) == (None, 1)


def test_relative_path_starts_at_the_base(fetch: Fetch, folder: Path) -> None:
    links = ("image.jpg", "sub/../image.jpg", "./image.jpg")
    for image in fetch(*links, allow=[str(folder)], base=folder):
        assert image_of(image).body == b"an image"


def test_base_is_no_allowance(fetch: Fetch, folder: Path) -> None:
    assert failure_of(fetch("image.jpg", allow=[], base=folder)[0]).category is ErrorCategory.FORBIDDEN_PATH


def test_link_within_the_folder_is_followed(fetch: Fetch, folder: Path) -> None:
    (folder / "link.jpg").symlink_to("sub/../image.jpg")
    assert image_of(fetch(f"{folder}/link.jpg", allow=[str(folder)])[0]).body == b"an image"


@pytest.mark.parametrize(
    "path", ["../secret/image.jpg", "sub/../../secret/image.jpg", "link.jpg", "linked/image.jpg", "../secret/none.jpg"]
)
@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_nothing_outside_the_folder_is_read(fetch: Fetch, folder: Path, path: str, form: str) -> None:
    (folder / "link.jpg").symlink_to("../secret/image.jpg")
    (folder / "linked").symlink_to("../secret")
    failure = failure_of(fetch(form.format(folder / path), allow=[str(folder)])[0])
    assert failure.category is ErrorCategory.FORBIDDEN_PATH
    secret = folder.parent / "secret"
    assert f"{secret}/" in failure.detail
    assert f"ALLOW={secret} with make run" in failure.detail
    assert "ocr_allow" in failure.detail


def test_folder_whose_name_begins_alike_is_not_allowed(fetch: Fetch, folder: Path) -> None:
    failure = failure_of(fetch(f"{folder}-not/image.jpg", allow=[str(folder)])[0])
    assert failure.category is ErrorCategory.FORBIDDEN_PATH


def test_allowed_folder_may_be_named_by_a_link(fetch: Fetch, folder: Path) -> None:
    alias = folder.parent / "alias"
    alias.symlink_to(folder)
    assert image_of(fetch(f"{alias}/image.jpg", allow=[str(alias)])[0]).body == b"an image"


@pytest.mark.parametrize("path", ["none.jpg", "none/image.jpg", "image.jpg/image.jpg"])
def test_no_such_file(fetch: Fetch, folder: Path, path: str) -> None:
    failure = failure_of(fetch(path, allow=[str(folder)], base=folder)[0])
    assert (failure.category, failure.attempts) == (ErrorCategory.NOT_FOUND, 1)
    assert path in failure.detail


def test_what_is_no_regular_file_is_not_opened(fetch: Fetch, folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")  # to open it would wait for a writer, for ever
    pipe, directory = fetch("pipe.jpg", "sub", allow=[str(folder)], base=folder)
    for failure, what in ((failure_of(pipe), "pipe"), (failure_of(directory), "folder")):
        assert failure.category is ErrorCategory.FILE_UNREADABLE
        assert what in failure.detail
    assert failure_of(fetch("/dev/zero", allow=["/dev"])[0]).category is ErrorCategory.FILE_UNREADABLE


def test_file_that_cannot_be_read(fetch: Fetch, folder: Path) -> None:
    # A regular file that even root cannot read: nothing is mapped at address 0 of a process.
    failure = failure_of(fetch("/proc/self/mem", allow=["/proc"])[0])
    assert failure.category is ErrorCategory.FILE_UNREADABLE
    assert "error" in failure.detail.lower()


@pytest.mark.parametrize("path", ["nul\0l.jpg", "\ud800.jpg"])
def test_path_that_no_file_can_have(fetch: Fetch, folder: Path, path: str) -> None:
    failure = failure_of(fetch(path, allow=[str(folder)], base=folder)[0])
    assert failure.category is ErrorCategory.INVALID_LINK


@pytest.mark.parametrize("link", ["javascript:alert(1)", " MailTo:a@b.example", "cid:image001.png@01D"])
def test_a_scheme_that_is_not_read_is_named_unless_a_file_has_that_name(fetch: Fetch, folder: Path, link: str) -> None:
    failure = failure_of(fetch(link, allow=[str(folder)], base=folder)[0])
    assert failure.category is ErrorCategory.INVALID_LINK
    assert failure.detail.startswith(f"{link.strip().lower().partition(':')[0]}: links are not supported; http://")
    (folder / link.strip()).write_bytes(b"image")
    assert image_of(fetch(link, allow=[str(folder)], base=folder)[0]).body == b"image"


@pytest.mark.parametrize("link", ["a:b.jpg", "12:30.jpg", "host.example:80/a.jpg", "localhost:80/a.jpg", "sub/a:b.jpg"])
def test_what_has_a_colon_and_no_scheme_is_a_file_that_is_not_there(fetch: Fetch, folder: Path, link: str) -> None:
    assert failure_of(fetch(link, allow=[str(folder)], base=folder)[0]).category is ErrorCategory.NOT_FOUND


def test_name_too_long(fetch: Fetch, folder: Path) -> None:
    failure = failure_of(fetch("a" * 5000, allow=[str(folder)], base=folder)[0])
    assert failure.category is ErrorCategory.FILE_UNREADABLE


def test_link_that_goes_round(fetch: Fetch, folder: Path) -> None:
    (folder / "round.jpg").symlink_to("round.jpg")
    failure = failure_of(fetch("round.jpg", allow=[str(folder)], base=folder)[0])
    assert failure.category is ErrorCategory.FILE_UNREADABLE


def test_size_of_files(fetch: Fetch, folder: Path) -> None:
    (folder / "8.jpg").write_bytes(bytes(8))
    (folder / "9.jpg").write_bytes(bytes(9))
    fits, too_large = fetch("8.jpg", "9.jpg", allow=[str(folder)], base=folder, max_bytes=8)
    assert len(image_of(fits).body) == 8
    assert failure_of(too_large).category is ErrorCategory.TOO_LARGE
    assert "max_bytes=8" in failure_of(too_large).detail


def test_size_that_is_not_known_beforehand(fetch: Fetch) -> None:
    # Files in /proc have content and a size of 0.
    whole = image_of(fetch("/proc/self/status", allow=["/proc"])[0])
    assert whole.body.startswith(b"Name:")
    assert b"VmPeak" in whole.body
    failure = failure_of(fetch("/proc/self/status", allow=["/proc"], max_bytes=100)[0])
    assert failure.category is ErrorCategory.TOO_LARGE


def test_empty_file_is_left_to_the_decoder(fetch: Fetch, folder: Path) -> None:
    (folder / "empty.jpg").touch()
    assert image_of(fetch("empty.jpg", allow=[str(folder)], base=folder)[0]).body == b""


def test_reading_has_a_deadline(fetch: Fetch, folder: Path) -> None:
    with (folder / "huge.jpg").open("wb") as file:
        file.truncate(100_000_000)  # to read and hash it takes a hundred times the deadline
    times: dict[str, Any] = {"connect_timeout": 0.001, "read_timeout": 0.001, "total_timeout": 0.001}
    failure = failure_of(fetch("huge.jpg", allow=[str(folder)], base=folder, max_bytes=10**9, **times)[0])
    assert failure.category is ErrorCategory.TIMEOUT
    assert "total_timeout=0.001" in failure.detail


def test_allowances_are_what_the_deployment_says() -> None:
    with pytest.raises(TypeError):
        Fetcher()  # type: ignore[call-arg]  # there is no default that allows anything
    assert not Allowances().allows_path(Path("/"))


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("C:\\images\\a.jpg", "it is a Windows path"),
        ("d:/a.jpg", "it is a Windows path"),
        ("\\\\server\\share\\a.jpg", "it is a Windows share"),
        ("sub\\a.jpg", "it is written as on Windows"),
    ],
)
def test_paths_of_windows_are_called_so(fetch: Fetch, folder: Path, link: str, said: str) -> None:
    failure = failure_of(fetch(link, allow=[str(folder)], base=folder)[0])
    assert failure.category is ErrorCategory.NOT_FOUND
    assert f"; {said}: write " in failure.detail
    (folder / link).parent.mkdir(exist_ok=True)
    (folder / link).write_bytes(b"an image")
    assert image_of(fetch(link, allow=[str(folder)], base=folder)[0]).body == b"an image"


@pytest.mark.parametrize("form", ["{}", "file://{}"])
@pytest.mark.parametrize(("written", "there"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "mixed")])
def test_letters_may_be_composed_otherwise(fetch: Fetch, folder: Path, written: Any, there: Any, form: str) -> None:
    names = ("é", "å ü.jpg")
    there = [normalize({"mixed": ("NFD", "NFC")[place]}.get(there, there), name) for place, name in enumerate(names)]
    path = folder.joinpath(*there)
    path.parent.mkdir()
    path.write_bytes(b"an image")
    link = form.format(folder.joinpath(*(normalize(written, name) for name in names)))
    assert image_of(fetch(link, allow=[str(folder)])[0]).body == b"an image"


def test_of_two_forms_of_a_name_none_is_guessed(fetch: Fetch, folder: Path) -> None:
    for form in ("NFC", "NFD"):
        (folder / normalize(form, "éé.jpg")).write_bytes(form.encode())
    failure = failure_of(fetch(f"{folder}/e\u0301é.jpg", allow=[str(folder)])[0])
    assert failure.category is ErrorCategory.NOT_FOUND
    assert image_of(fetch(str(folder / normalize("NFC", "éé.jpg")), allow=[str(folder)])[0]).body == b"NFC"


def test_a_name_of_another_form_leads_nowhere_else(fetch: Fetch, folder: Path) -> None:
    (folder / normalize("NFD", "é.jpg")).symlink_to("../secret/image.jpg")
    failure = failure_of(fetch(f"{folder}/é.jpg", allow=[str(folder)])[0])
    assert failure.category is ErrorCategory.FORBIDDEN_PATH
