"""Locks that commands hold, and that go with their processes."""

from __future__ import annotations

from pathlib import Path

from ocr_local.locks import exclusive, exclusive_at_once, shared


def test_many_may_share_what_one_has_alone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    waited: list[str] = []
    first, second = shared(lock, lambda: waited.append("first")), shared(lock, lambda: waited.append("second"))
    with first, second, exclusive_at_once(lock) as ours:
        assert not ours
    with exclusive_at_once(lock) as ours, exclusive_at_once(lock) as again:
        assert (ours, again) == (True, False)
    with exclusive(lock, lambda: waited.append("third")):
        pass
    assert waited == []
