"""The results of a run, merged or still going, and what they answer."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from ocr_pipeline.errors import ErrorCategory, Status, WarningCategory
from ocr_pipeline.records import READ_ROW, RESULT_COLUMNS, BatchRef, ResultRow
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, planned_rows
from ocr_pipeline.run.summary import MergedRun
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.viewing.answers import (
    BatchOverview,
    BatchState,
    ChangedSetting,
    Distributions,
    Example,
    FileOverview,
    Gallery,
    GalleryPage,
    HostOverview,
    Overview,
    Problem,
    Problems,
    Record,
    RowFound,
    RowsFound,
    RunState,
)
from ocr_pipeline.viewing.batches import batch_overviews, staged_statistics
from ocr_pipeline.viewing.files import opened, opened_path
from ocr_pipeline.viewing.lines import parse_lines
from ocr_pipeline.viewing.links import web_address
from ocr_pipeline.viewing.merged import merged_table
from ocr_pipeline.viewing.questions import RowQuery
from ocr_pipeline.viewing.search import find
from ocr_pipeline.viewing.staged import StagedTable
from ocr_pipeline.viewing.table import Entry, Table

SECONDS = 0.2
"""How long a question looks at rows before it answers with what it has."""


_DETAILS = ("ocr_error_detail", "ocr_warning_detail")
_DRAWN = ("ocr_text", "ocr_lines", "ocr_width", "ocr_height")


class RunResults:
    """What is known of a run.

    The plan and the summary are read once, when it is opened; batches and rows with each question.
    """

    def __init__(
        self, run: RunFolder, plan: Plan, merged: MergedRun | None, table: Callable[[], AbstractContextManager[Table]]
    ) -> None:
        self.run = run
        self.plan = plan
        self.merged = merged
        self._table = table

    @classmethod
    def open(cls, run: RunFolder) -> Self:
        """Open the results of ``run``.

        :raises MissingPlanError: when the run is not planned yet.
        :raises PlanError: when its plan cannot be read.
        :raises StorageError: when its folder cannot be read.
        """
        loading: tuple[Callable[[RunFolder], Any], ...] = (Plan.load, MergedRun.load)
        plan, merged = run.folder.map(lambda load: load(run), loading)
        if merged and datetime.fromisoformat(merged.merged_at) < datetime.fromisoformat(plan.created_at):
            merged = None  # of an earlier plan
        if merged is None:
            return cls(run, plan, None, lambda: nullcontext(StagedTable(run, plan, staged_statistics(run, plan))))
        files = [partial(opened, file) for file in (run.index, run.searched, run.results_parquet)]
        return cls(run, plan, merged, lambda: merged_table(*files))

    @classmethod
    def of_files(cls, run: RunFolder, plan: Plan, merged: MergedRun, *paths: Path) -> Self:
        """The results of a run that is merged at this moment.

        :param paths: of the files that are to become its index, the texts to search in, and ``results.parquet``.
        """
        files = [partial(opened_path, path) for path in paths]
        return cls(run, plan, merged, lambda: merged_table(*files))

    def overview(self) -> Overview:
        """The run as a whole.

        :raises StorageError: when its folder cannot be read.
        """
        batches = self.batches()
        staged = [batch for batch in batches if batch.finished_at]
        worked = [
            (batch.finished_at - timedelta(seconds=batch.seconds), batch.finished_at)
            for batch in staged
            if batch.finished_at
        ]
        read = sum(batch.total - batch.resumed for batch in staged)
        seconds = _covered(worked)
        counts = self.merged or _Counts(staged)
        return Overview(
            name=self.run.name,
            uri=self.run.uri,
            state=_state(self.merged, batches),
            dataset=self.plan.settings.dataset,
            image_column=self.plan.image_column,
            created_at=datetime.fromisoformat(self.plan.created_at),
            started_at=min((started for started, _ in worked), default=None),
            finished_at=max((finished for _, finished in worked), default=None),
            merged_at=datetime.fromisoformat(self.merged.merged_at) if self.merged else None,
            trimmed_at=datetime.fromisoformat(self.plan.trimmed_at) if self.plan.trimmed_at else None,
            batches=len(batches),
            rows=self.plan.rows,
            rejected=self.plan.rejected,
            images=self.plan.images,
            known=self.plan.known,
            done=sum(batch.done for batch in batches),
            failed=sum(batch.failed for batch in batches),
            pages=counts.result_rows,
            statuses=counts.statuses,
            errors=counts.errors,
            warnings=counts.warnings,
            bytes=counts.bytes,
            seconds=counts.seconds,
            images_per_second=read / seconds if seconds else None,
            models=counts.models,
            settings=_changed(self.plan.settings),
            unfinished=self.merged.unfinished if self.merged else (),
            problem=self.merged.problem if self.merged else "",
            files=self._files(),
        )

    def batch(self, index: int | None) -> BatchRef | None:
        """A batch of the plan by its number; None when there is no such."""
        return next(iter(self.plan.batches[index : index + 1]), None) if index is not None else None

    def batches(self) -> list[BatchOverview]:
        """Every batch of the plan, in order.

        :raises StorageError: when the run's folder cannot be read.
        """
        lost = {batch.index: batch.reason for batch in self.merged.unfinished} if self.merged else {}
        return batch_overviews(self.run, self.plan, lost)

    def rows(self, query: RowQuery, seconds: float | None = SECONDS) -> RowsFound:
        """The rows that ``query`` asks for.

        While the run goes on, these are the images of the batches that are staged: rows that repeat an earlier link
        come with the merge.

        :param seconds: how long to look before answering with what was found; None for as long as it takes.
        :raises StorageError: when the run's folder cannot be read.
        """
        batch = self.batch(query.batch)
        if batch is None and query.batch is not None:
            return RowsFound((), 0, 0, 0)
        with self._table() as table:
            found = find(table, query, batch, seconds)
            return RowsFound(tuple(map(self._row, found.entries)), found.total, found.searched, table.rows)

    def hosts(self, limit: int = 20) -> list[HostOverview]:
        """The hosts with the most pages that failed, then those with the most pages.

        :raises StorageError: when the run's folder cannot be read.
        """
        with self._table() as table:
            return table.hosts(limit)

    def distributions(self) -> Distributions:
        """How confident the model was, and how long fetching and reading took.

        :raises StorageError: when the run's folder cannot be read.
        """
        with self._table() as table:
            return table.distributions()

    def record(self, row: int, page: int) -> Record | None:
        """Everything of one page; None when there is no such page, or not yet.

        :raises StorageError: when the run's folder cannot be read.
        """
        if not 0 <= row < self.plan.rows:
            return None
        batch = self._batch_of(row)
        with self._table() as table:
            found = table.neighbours(batch, row, page)
            if found is None:
                return None
            entry, pages, previous, following = found
            (own,) = table.values([entry.position])
        result = {column.field: own.pop(column.name) for column in RESULT_COLUMNS}
        result["status"] = Status(result["status"])
        read_row = self._read_row(batch, row)
        return Record(
            row=row,
            page=page,
            pages=pages,
            batch=batch.index,
            link=entry.link,
            url=web_address(entry.link, self.plan.base),
            result=ResultRow(row=read_row, **result),
            lines=parse_lines(result["lines"]),
            own=own,
            previous=previous,
            following=following,
            preview=self.run.preview(read_row, page),
        )

    def problems(self, most: int = 3) -> Problems:
        """What is wrong with pages, with at most so many examples each.

        :raises StorageError: when the run's folder cannot be read.
        """
        with self._table() as table:
            errors = table.first("error", most)
            warnings: dict[str, list[Entry]] = {}
            for several, entries in table.first("warning", most).items():
                for warning in several.split(","):
                    warnings[warning] = sorted(
                        [*warnings.get(warning, ()), *entries], key=lambda entry: entry.position
                    )[:most]
            shown = {entry.position for entries in (*errors.values(), *warnings.values()) for entry in entries}
            details = dict(zip(shown, table.values(list(shown), _DETAILS), strict=True))
        counts = self.merged or _Counts(self.batches())
        return Problems(
            tuple(
                Problem(ErrorCategory(name), pages, self._examples(errors.get(name, ()), details, "ocr_error_detail"))
                for name, pages in counts.errors.items()
            ),
            tuple(
                Problem(
                    WarningCategory(name), pages, self._examples(warnings.get(name, ()), details, "ocr_warning_detail")
                )
                for name, pages in counts.warnings.items()
            ),
        )

    def gallery(self, most: int = 4) -> Gallery:
        """Pages with text to look at, at most so many of each kind, with their pictures where there are any.

        :raises StorageError: when the run's folder cannot be read.
        """
        with self._table() as table:
            kinds = [self._distinct(table, order, most) for order in ("-confidence", "confidence", "random")]
            entries = [entry for kind in kinds for entry in kind]
            values = table.values([entry.position for entry in entries], _DRAWN)
        pictures = self.run.folder.map(self._picture, entries)
        pages = iter(
            GalleryPage(
                row=self._row(entry),
                width=drawn["ocr_width"],
                height=drawn["ocr_height"],
                text=drawn["ocr_text"],
                lines=parse_lines(drawn["ocr_lines"]),
                picture=picture,
            )
            for entry, drawn, picture in zip(entries, values, pictures, strict=True)
        )
        best, worst, random = (tuple(islice(pages, len(kind))) for kind in kinds)
        return Gallery(best, worst, random)

    def _examples(
        self, entries: Iterable[Entry], details: Mapping[int, Mapping[str, Any]], column: str
    ) -> tuple[Example, ...]:
        return tuple(Example(self._row(entry), details[entry.position][column] or "") for entry in entries)

    def _distinct(self, table: Table, order: str, most: int) -> list[Entry]:
        """The first pages with text in an order, each once: links repeat."""
        found = find(table, RowQuery(status=(Status.OK.value,), order=order, limit=4 * most), None, None)
        distinct: dict[tuple[str, int], Entry] = {}
        for entry in found.entries:
            distinct.setdefault((entry.link, entry.page), entry)
        return list(distinct.values())[:most]

    def _picture(self, entry: Entry) -> bytes | None:
        row = self._read_row(self._batch_of(entry.row), entry.row)
        try:
            return self.run.preview(row, entry.page).read_bytes()
        except FileNotFoundError:
            return None

    def _read_row(self, batch: BatchRef, row: int) -> int:
        """The row whose reading ``row`` shares: itself, unless its link repeats an earlier one's."""
        read: int = planned_rows(self.run, batch, [READ_ROW])[READ_ROW][row - batch.first_row].as_py()
        return read if read >= 0 else row

    def _batch_of(self, row: int) -> BatchRef:
        batches = self.plan.batches
        return batches[bisect_right(batches, row, key=lambda batch: batch.first_row) - 1]

    def _row(self, entry: Entry) -> RowFound:
        return RowFound(
            row=entry.row,
            page=entry.page,
            batch=self._batch_of(entry.row).index,
            link=entry.link,
            host=entry.host,
            status=Status(entry.status),
            error=entry.error,
            warnings=tuple(entry.warning.split(",")) if entry.warning else (),
            confidence=entry.confidence,
            bytes=entry.bytes,
            fetch_seconds=entry.fetch_seconds,
            read_seconds=entry.read_seconds,
            beginning=" ".join(entry.beginning.split()),
        )

    def _files(self) -> tuple[FileOverview, ...]:
        there = self.run.folder.versions()
        files = (
            self.run.report,
            self.run.results_csv,
            self.run.results_parquet,
            self.run.failures_csv,
            self.run.rejected_csv,
            self.run.summary,
        )
        return tuple(FileOverview(file.name, there[file.name].size) for file in files if file.name in there)


class _Counts:
    """What staged batches come to, as a summary would have it."""

    def __init__(self, staged: list[BatchOverview]) -> None:
        self.result_rows = sum(batch.pages for batch in staged)
        self.statuses = _added(batch.statuses for batch in staged)
        self.errors = _added(batch.errors for batch in staged)
        self.warnings = _added(batch.warnings for batch in staged)
        self.bytes = sum(batch.bytes for batch in staged)
        self.seconds = sum(batch.seconds for batch in staged)
        self.models = tuple(sorted({model for batch in staged for model in batch.models}))


def _covered(times: Iterable[tuple[datetime, datetime]]) -> float:
    """How many seconds lie in any of these times, each from one moment to another."""
    seconds, until = 0.0, datetime.min.replace(tzinfo=UTC)
    for started, finished in sorted(times):
        seconds += max(0.0, (finished - max(started, until)).total_seconds())
        until = max(until, finished)
    return seconds


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    added: Counter[str] = Counter()
    for count in counts:
        added.update(count)
    return dict(added.most_common())


def _state(merged: MergedRun | None, batches: list[BatchOverview]) -> RunState:
    if merged:
        if merged.succeeded:
            return RunState.MERGED
        return RunState.FAILED if merged.complete else RunState.INCOMPLETE
    if all(batch.state is BatchState.STAGED for batch in batches):
        return RunState.READ
    if all(batch.state is BatchState.WAITING for batch in batches):
        return RunState.WAITING
    return RunState.READING


def _changed(settings: RunSettings) -> tuple[ChangedSetting, ...]:
    """The settings that differ from their defaults; which dataset goes where is no choice to speak of here."""
    changed = []
    for name, field in RunSettings.model_fields.items():
        value = getattr(settings, name)
        if name not in ("dataset", "output") and value != field.default:
            changed.append(ChangedSetting(name, field.title or name, value, field.default))
    return tuple(changed)
