"""Charts: well-formed, escaped, and with their values as titles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from ocr_pipeline.records import BatchRef
from ocr_pipeline.viewing import charts
from ocr_pipeline.viewing.answers import BatchOverview, BatchState, Histogram, HostOverview

START = datetime(2026, 1, 31, tzinfo=UTC)


def batch(index: int, end: float, seconds: float, *, images: int = 100, resumed: int = 0) -> BatchOverview:
    return BatchOverview(
        batch=BatchRef("run", index, index * images, images, images), state=BatchState.STAGED, total=images,
        done=images, failed=0, error="", pages=images, bytes=1, statuses={}, errors={}, warnings={}, models=(),
        seconds=seconds, finished_at=START + timedelta(seconds=end), resumed=resumed, now=None,
    )  # fmt: skip


def titles(svg: str) -> list[str]:
    """What the parts of a chart say."""
    root = ElementTree.fromstring(svg)
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}title")]


def test_progress_and_speed_follow_the_batches() -> None:
    batches = [batch(0, 10, 10), batch(1, 20, 10), batch(2, 20, 10)]
    progress = titles(charts.progress_chart(batches))
    assert progress[-1] == "after 20 s: 300 images"
    speeds = titles(charts.rate_chart(batches))
    assert (speeds[0], speeds[-1]) == ("after 3.33 s: 10.0 images a second", "after 20 s: 20.0 images a second")
    assert 'aria-label="300 images finished in 20 s"' in charts.progress_chart(batches)


def test_what_an_earlier_attempt_has_read_is_not_its_speed() -> None:
    assert "5.0 images a second" in charts.rate_chart([batch(0, 10, 10, resumed=50)])


@pytest.mark.parametrize("batches", [[], [batch(0, 0, 0)], [batch(0, 5, 5, resumed=100)], [batch(0, 5, 5, images=0)]])
def test_without_work_there_is_no_chart(batches: list[BatchOverview]) -> None:
    assert charts.progress_chart(batches) == charts.rate_chart(batches) == ""


def test_a_batch_that_took_no_time_beside_others() -> None:
    assert titles(charts.progress_chart([batch(0, 5, 0), batch(1, 10, 10)]))[-1].startswith("after 10 s: ")


def test_hosts_have_a_bar_in_parts() -> None:
    hosts = [
        HostOverview("x.org", 10, 3, {"timeout": 2, "not_found": 1}),
        HostOverview("", 5, 5, {"corrupt": 5}),
        HostOverview("fine.org", 9, 0, {}),
        HostOverview("<script>\"&'", 1, 1, {"timeout": 1}),
    ]
    svg = charts.hosts_chart(hosts)
    said = titles(svg)
    for expected in ("files: corrupt, 5", "x.org: timeout, 2", "x.org: not_found, 1", "x.org: 3 of 10 (30 %) failed"):
        assert expected in said
    assert "<script" not in svg
    assert "fine.org" not in svg
    assert charts.hosts_chart(hosts[2:3]) == ""


def test_rare_categories_are_put_together() -> None:
    errors = {f"category_{number}": 20 - number for number in range(12)}
    said = titles(charts.hosts_chart([HostOverview("x.org", 999, sum(errors.values()), errors)]))
    assert f"x.org: others, {sum(list(errors.values())[7:])}" in said
    assert "x.org: category_6, 14" in said
    assert not any("category_7" in title for title in said)


def test_histograms_say_what_their_bars_are() -> None:
    edges = tuple(number / 4 for number in range(5))
    assert titles(charts.confidence_chart(Histogram(edges, (0, 0, 1, 2000))))[-2:] == [
        "confidence 0.50 to 0.75: 1 page", "confidence 0.75 to 1.00: 2,000 pages",
    ]  # fmt: skip
    seconds = charts.seconds_chart(Histogram((0, 0.5, 2, float("inf")), (0, 3, 1)), "seconds <to> fetch")
    assert titles(seconds) == ["0 s to 500 ms: 0", "500 ms to 2 s: 3", "more than 2 s: 1"]
    assert 'aria-label="seconds &lt;to&gt; fetch"' in seconds
    empty = Histogram(edges, (0, 0, 0, 0))
    assert charts.confidence_chart(empty) == charts.seconds_chart(empty, "seconds") == ""


@pytest.mark.parametrize("most", [1, 3, 7, 10, 99, 1234, 10**9, 0.004])
def test_scales_have_round_numbers_and_reach_far_enough(most: float) -> None:
    end, ticks = charts._scale(most)
    assert end >= most
    assert end <= 2 * most + 1
    assert 2 <= len(ticks) <= 6
    assert ticks[0] == 0


def all_charts() -> Iterable[str]:
    batches = [batch(number, 60 + number, 50) for number in range(500)]
    yield charts.progress_chart(batches)
    yield charts.rate_chart(batches)
    yield charts.hosts_chart([HostOverview("x" * 300, 10**9, 10**8, {"timeout": 10**8})])
    yield charts.confidence_chart(Histogram(tuple(n / 20 for n in range(21)), tuple(10**n for n in range(20))))
    yield charts.seconds_chart(Histogram((0.0, 1.0, float("inf")), (10**12, 0)), "seconds")


def test_charts_are_drawn_by_classes_alone() -> None:
    for svg in all_charts():
        root = ElementTree.fromstring(svg)
        for element in root.iter():
            assert not {name for name in element.attrib if name.startswith("on") or name in ("style", "href")}
        assert "nan" not in svg
        assert "inf" not in svg
