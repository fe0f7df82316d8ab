"""What of an address may be shown, and telling addresses apart without storing them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_pipeline.settings.addresses import (
    dataset_seal,
    fits_seal,
    shown_address,
    shown_dataset,
    shown_link,
    shown_text,
    shown_value,
    with_login,
)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://h.example/d.csv", "https://h.example/d.csv"),
        ("https://user:KEY@h.example:8443/a/d.csv?sig=KEY&x=1#KEY", "https://h.example:8443/a/d.csv"),
        ("HTTP://KEY@h/d.csv", "HTTP://h/d.csv"),
        ("https://a@b:KEY@[fd00::1]:80/x", "https://[fd00::1]:80/x"),
        ("https://h.example?KEY", "https://h.example"),
        ("https://h.example#KEY", "https://h.example"),
        ("https://h.example/@someone/d.csv", "https://h.example/@someone/d.csv"),
        ("https://user:K/EY@h/x", "https://…"),
        ("https://user:K?EY@h/x", "https://…"),
        ("https://user:K#EY@h/x", "https://…"),
        ("https:\\\\user:KEY@h/x", "https:h/x"),
        ("https:/user:KEY@h/x?KEY", "https:/h/x"),
        ("user:KEY@h/x?KEY", "user:h/x"),
        ("h/x?sig=KEY", "h/x"),
        ("//user:KEY@h/x?KEY", "//h/x"),
        ("ftp://user:KEY@h/d.csv?KEY", "ftp://h/d.csv"),
        ("abfss://box@account.example/x?sv=1&sig=KEY", "abfss://account.example/x"),
        ("sql:shop", "sql:shop"),
        ("sql:postgresql://user:KEY@h/db?password=KEY", "sql:postgresql://h/db"),
        ("s3://minio@bucket/a/2026-??/[a-c]*.csv", "s3://minio@bucket/a/2026-??/[a-c]*.csv"),
        ("gs://bucket/day#1?.csv", "gs://bucket/day#1?.csv"),
        ("S3://id:KEY@bucket/a.csv", "S3://bucket/a.csv"),
        ("s3://bucket/a.csv?X-Amz-Signature=KEY&x=1", "s3://bucket/a.csv"),
        ("/data/a?b#c@d:e/*.csv", "/data/a?b#c@d:e/*.csv"),
        ("~/links?.csv", "~/links?.csv"),
        ("file:///data/a.csv", "file:///data/a.csv"),
        ("", ""),
    ],
)
def test_what_may_be_a_key_is_not_shown(address: str, shown: str) -> None:
    assert shown_address(address) == shown
    assert shown_address(shown) == shown


@given(
    st.sampled_from(["http", "https", "HTTPS", "ftp"]),
    st.text(st.characters(exclude_characters="/?#", codec="utf-8"), max_size=20),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_no_login_and_no_parameter_is_ever_shown(scheme: str, login: str, query: str) -> None:
    shown = shown_address(f"{scheme}://{login}KEY@host/path?{query}KEY#{query}KEY")
    assert "KEY" not in shown
    assert shown == f"{scheme}://host/path"


def test_a_setting_of_several_places() -> None:
    assert shown_dataset("/a,b.csv, s3://x/d.csv") == "/a,b.csv, s3://x/d.csv"
    assert shown_dataset("/a,b.csv, https://u:KEY@x/y?ids=1,2,3\nsql:c") == "/a,b.csv\nhttps://x/y\nsql:c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:KEY@h/a b?KEY and KEY", "https://h/a b"),
        ("row 3: https://u:KEY@h/a?KEY, 5", "row 3: https://h/a, 5"),
        ('cannot open "https://u:KEY@h/a" (https://h/b?KEY).', 'cannot open "https://h/a" (https://h/b).'),
        ("nothing to hide: a@b?c", "nothing to hide: a@b?c"),
        ("a\nhttps://h/a?KEY\nb", "a\nhttps://h/a\nb"),
    ],
)
def test_addresses_in_texts_of_others(text: str, shown: str) -> None:
    assert shown_text(text) == shown


def test_values_are_shown_as_python_writes_them() -> None:
    assert shown_value("https://u:KEY@h/a?KEY") == "'https://h/a'"
    assert shown_value(["https://h/a?KEY", 3, None]) == "['https://h/a', 3, None]"
    assert shown_value({"dataset": "https://u:KEY@h"}) == "{'dataset': 'https://h'}"
    assert shown_value(1.5) == "1.5"


def test_a_seal_tells_what_is_not_shown_apart() -> None:
    dataset = "https://user:KEY@h/d.csv?sig=KEY"
    seal = dataset_seal(dataset)
    assert "KEY" not in seal
    assert dataset_seal(dataset) != seal  # so that nobody can look passwords up in a table
    assert fits_seal(dataset, seal)
    for other in (dataset.replace("KEY", "KEZ"), f"{dataset}&x", "https://h/d.csv"):
        assert not fits_seal(other, seal)


def test_what_is_shown_as_it_is_needs_no_seal() -> None:
    assert dataset_seal("/data/a.csv\ns3://minio@bucket/b.csv") == ""
    assert fits_seal("/data/a.csv", "")
    assert not fits_seal("https://user:KEY@h/d.csv", "")


@pytest.mark.parametrize(
    ("base", "dataset", "expected"),
    [
        ("https://h/a/", "https://us%40er:K%2FEY@h/a/d.csv?x=1", "https://us%40er:K%2FEY@h/a/"),
        ("https://h/a/", "https://token@h/a/d.csv", "https://token@h/a/"),
        ("https://h/a/", "https://h/a/d.csv", "https://h/a/"),
        ("https://h/a/", "https://u:KEY@other/a/d.csv", "https://h/a/"),
        ("https://h/a/", "http://u:KEY@h/a/d.csv", "https://h/a/"),
        ("https://h/a/", "https://u:KEY@h:8443/a/d.csv", "https://h/a/"),
        ("https://h/a/", "https://u:KEY@h/a/d.csv\nhttps://u:KEY@h/a/e.csv", "https://u:KEY@h/a/"),
        ("https://h/a/", "https://u:KEY@h/a/d.csv\nhttps://u:OTHER@h/a/e.csv", "https://h/a/"),
        ("https://h/a/", "", "https://h/a/"),
        ("/data", "https://u:KEY@h/a/d.csv", "/data"),
        ("s3://minio@bucket/a", "s3://minio@bucket/a/d.csv", "s3://minio@bucket/a"),
        ("", "sql:shop", ""),
    ],
)
def test_relative_links_have_the_login_of_their_dataset(base: str, dataset: str, expected: str) -> None:
    assert with_login(base, dataset) == expected


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://user:KEY@h/a.png?sig=K/EY", "https://h/a.png"),
        ("https://user:K/EY@h/a.png", "https://…"),
        ("a/b.png?sig=K/EY", "a/b.png"),
        ("b.png?KEY", "b.png"),
        ("//user:KEY@h/a.png", "//h/a.png"),
        ("see https://user:KEY@h/a.png?KEY", "see https://h/a.png"),
        ("s3://minio@bucket/a b.png", "s3://minio@bucket/a b.png"),
        ("s3://id:KEY@bucket/a.png", "s3://bucket/a.png"),
        ("data:image/png;base64,KEY", "data:…"),
        ("/data/a.png", "/data/a.png"),
        ("two\nlines", "two lines"),
        ("", ""),
    ],
)
def test_a_link_is_shown_without_what_may_be_a_key(link: str, shown: str) -> None:
    assert shown_link(link) == shown
