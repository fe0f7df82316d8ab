"""Logs of the local Airflow that would grow without end."""

from __future__ import annotations

from pathlib import Path

from ocr_local.logs import drop_old_days, limit_log


def test_a_log_begins_anew_when_it_is_long_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "scheduler.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"one\n")
        limit_log(log, most=5)
        assert log.read_bytes() == b"one\n"
        writer.write(b"two\n")
        limit_log(log, most=5)
        writer.write(b"three\n")
    assert log.read_bytes() == b"three\n"
    assert (tmp_path / "scheduler.log.1").read_bytes() == b"one\ntwo\n"


def test_logs_of_old_days_go(tmp_path: Path) -> None:
    for name in ("2026-01-30", "2026-01-31", "2026-02-01", "latest"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.log").touch()
    drop_old_days(tmp_path, most=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-01-31", "2026-02-01", "latest"]
    drop_old_days(tmp_path / "none")
