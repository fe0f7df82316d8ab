"""Where links of a dataset may lead people: into the web, and nowhere else."""

from __future__ import annotations

import pytest

from ocr_pipeline.viewing.links import web_address


@pytest.mark.parametrize("base", ["", "/data", "s3://bucket/key"])
@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "s3://bucket/key",
        "//example.org/x",
        "https://",
        "https://[::1",
        "images/1.png",
        "",
    ],
)
def test_only_links_into_the_web_can_be_followed(link: str, base: str) -> None:
    assert web_address(link, base) is None


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "java\nscript:alert(1)", "file:///etc/passwd"]
)
def test_a_base_in_the_web_makes_no_script_followable(link: str) -> None:
    address = web_address(link, "https://example.org/data/")
    assert address is None or address.startswith("https://example.org/")


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("https://example.org/a?b=%22&c=d", "https://example.org/a?b=%22&c=d"),
        ("http\t://example.org/", "http://example.org/"),
        (" http://example.org/a b ", "http://example.org/a%20b"),
        ("https://somebody:secret@example.org/", "https://example.org/"),
        ("https://example.org/\u202e\"'<", "https://example.org/%E2%80%AE%22'%3C"),
    ],
)
def test_what_is_followed_is_written_as_an_address_and_holds_no_login(link: str, leads_to: str) -> None:
    assert web_address(link, "") == leads_to
