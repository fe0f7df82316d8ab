"""Watching a run: what its folder says, shown as it changes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from ocr_local.airflow import DAG_ID
from ocr_local.api import AirflowApi
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.staging import READING, BatchProgress, read_progress

_REFRESH_SECONDS = 0.5
_BUCKET_REFRESH_SECONDS = 3.0  # every look costs requests
_STATE_SECONDS = 1.0
_PLAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a run is. ``preparing`` is what its batches do before they read; empty once one has read."""

    batches: int
    batches_done: int
    images: int
    images_done: int
    failed: int
    preparing: str

    @classmethod
    def take(cls, run: RunFolder, plan: Plan, staged: dict[int, BatchProgress]) -> Snapshot:
        """Read the run's folder.

        :param staged: the batches known to be done, which are not looked at again; those found are added.
        """
        left = [batch for batch in plan.batches if batch.index not in staged]
        found = dict(zip(left, run.folder.map(partial(read_progress, run), left), strict=True))
        staged.update((batch.index, state) for batch, state in found.items() if state.staged)
        states = [staged.get(batch.index) or found[batch] for batch in plan.batches]
        return cls(
            batches=len(states),
            batches_done=sum(state.staged for state in states),
            images=plan.images,
            images_done=sum(state.done for state in states),
            failed=sum(state.failed for state in states),
            preparing=_preparing(states),
        )


def _preparing(states: Sequence[BatchProgress]) -> str:
    if any(state.staged for state in states):
        return ""
    doing = Counter(state.doing for state in states if state.doing)
    return "" if READING in doing or not doing else doing.most_common(1)[0][0]


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """How a run ended: its state, the time since the trigger, its images, and the time from the first
    to the last of them."""

    state: str
    seconds: float
    images: int
    reading_seconds: float

    def describe(self) -> str:
        """How many images there were, how long that took, and how many a second were read."""
        rate = self.images / self.reading_seconds if self.reading_seconds else 0.0
        took = f"{self.seconds:.0f} s from trigger to results"
        return f"{self.images:,} images in {took} ({rate:.1f} images/s while reading)"


def watch(api: AirflowApi, run: RunFolder, run_id: str, console: Console) -> WatchedRun:
    """Show the run until it ends: a live bar on a terminal, a line every few seconds elsewhere."""
    view = _LiveView(console) if console.is_terminal else _PlainView(console)
    started = time.monotonic()
    batches: _BatchesWatch | None = None
    state = "queued"
    asked = 0.0
    with view:
        while True:
            now = time.monotonic()
            if batches is None and run.plan.exists():
                batches = _BatchesWatch(run, now)
            if batches is not None:
                batches.look(now)
            view.show(_line(batches, now - started), batches.snapshot if batches else None)
            if now - asked >= _STATE_SECONDS:
                state, asked = api.run_state(DAG_ID, run_id), now
                if state in ("success", "failed"):
                    break
            time.sleep(_REFRESH_SECONDS if run.folder.parallel == 1 else _BUCKET_REFRESH_SECONDS)
    seconds = time.monotonic() - started
    if batches is None:
        return WatchedRun(state, seconds, 0, 0.0)
    return WatchedRun(state, seconds, batches.snapshot.images, batches.seconds)


class _BatchesWatch:
    """The reading part of a run, between its first and its last image."""

    def __init__(self, run: RunFolder, now: float) -> None:
        self._run = run
        self._plan = Plan.load(run)
        self._first = self._last = now
        self._staged: dict[int, BatchProgress] = {}
        self.snapshot = Snapshot.take(run, self._plan, self._staged)

    def look(self, now: float) -> None:
        """Take a new snapshot."""
        before, self.snapshot = self.snapshot, Snapshot.take(self._run, self._plan, self._staged)
        if self.snapshot.images_done != before.images_done:
            self._last = now

    @property
    def seconds(self) -> float:
        """Time from the plan to the latest image."""
        return self._last - self._first

    @property
    def rate(self) -> float | None:
        """Images a second so far."""
        return self.snapshot.images_done / self.seconds if self.snapshot.images_done and self.seconds else None


def _line(batches: _BatchesWatch | None, elapsed: float) -> str:
    if batches is None:
        return f"planning   {_clock(elapsed)}"
    at = batches.snapshot
    parts = [f"batches {at.batches_done}/{at.batches}", f"images {at.images_done:,}/{at.images:,}"]
    # What failed at once, without being read, says nothing of what is to come.
    if batches.rate and not at.preparing:
        parts.append(f"{batches.rate:.1f} images/s")
    parts.append(f"{at.failed} failed")
    if at.preparing:
        parts.append(at.preparing)
    elif at.batches_done == at.batches:
        parts.append("merging")
    elif batches.rate:
        parts.append(f"{_clock((at.images - at.images_done) / batches.rate)} left")
    return "   ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _LiveView:
    """One line with a bar, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4)

    def __enter__(self) -> _LiveView:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def show(self, line: str, at: Snapshot | None) -> None:
        """Redraw."""
        table = Table.grid(padding=(0, 2))
        table.add_column(max_width=30)  # less where the line leaves less
        table.add_column(no_wrap=True)
        table.add_row(ProgressBar(total=max(at.images, 1), completed=at.images_done) if at else ProgressBar(), line)
        self._live.update(table)


class _PlainView:
    """A line every few seconds, and whenever a batch ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = 0.0
        self._batches = -1
        self._line = ""

    def __enter__(self) -> _PlainView:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def show(self, line: str, at: Snapshot | None) -> None:
        """Print, if it is time to."""
        batches = at.batches_done if at else -1
        due = time.monotonic() - self._shown >= _PLAIN_SECONDS or batches != self._batches
        if due and line != self._line:
            self._console.print(f"  {line}", markup=False, highlight=False)
            self._shown, self._batches, self._line = time.monotonic(), batches, line
