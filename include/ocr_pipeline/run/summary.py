"""What a merged run comes to: the content of ``summary.json``, and whether that is what was wanted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Self

from ocr_pipeline.errors import ErrorCategory, IncompleteRunError, PlanError, TooManyFailuresError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.troubles import Trouble, describe, share, too_many


@dataclass(frozen=True, slots=True)
class UnfinishedBatch:
    """A batch that is not staged, or not as planned: how many of its images are finished all the same, and why."""

    index: int
    first_row: int
    rows: int
    images: int
    finished: int
    reason: str


@dataclass(frozen=True, slots=True)
class MergedRun:
    """What was merged; the content of ``summary.json``.

    ``rows`` counts those of the dataset, ``rejected`` those that could not be read and were left out of the plan,
    ``result_rows`` those of the results (one a page), and of these ``statuses`` each status, ``errors`` each category
    of failure and ``warnings`` each warning. ``images`` counts distinct links, ``known_images`` those of them whose
    bytes an earlier run has read, ``failed_images`` those with a page that failed or was not read, ``failed_before``
    those of the latter that had failed in an earlier run of the catalog, and ``failures`` all that failed by category.
    ``bytes`` adds up their files. ``seconds`` is the work of all ``batches`` added up. The run is ``complete`` when
    none of them is ``unfinished``, and has ``succeeded`` when also no more images failed than it allows; if not,
    ``problem`` says why and what to do.
    """

    succeeded: bool
    problem: str
    complete: bool
    unfinished: tuple[UnfinishedBatch, ...]
    batches: int
    rows: int
    rejected: int
    result_rows: int
    failed_rows: int
    images: int
    known_images: int
    failed_images: int
    failed_before: int = field(default=0, kw_only=True)  # which summaries of earlier versions lack
    failures: tuple[Trouble, ...]
    bytes: int
    statuses: dict[str, int]
    errors: dict[str, int]
    warnings: dict[str, int]
    seconds: float
    models: tuple[str, ...]
    merged_at: str

    @classmethod
    def load(cls, run: RunFolder) -> Self | None:
        """Read the summary of ``run``; None when it is not merged.

        :raises PlanError: when another version wrote it.
        :raises StorageError: when it cannot be read.
        """
        try:
            values = json.loads(run.summary.read_bytes())
            values["unfinished"] = tuple(UnfinishedBatch(**batch) for batch in values["unfinished"])
            values["failures"] = tuple(
                Trouble(**{**failure, "category": ErrorCategory(failure["category"])}) for failure in values["failures"]
            )
            values["models"] = tuple(values["models"])
            return cls(**values)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            raise PlanError(f"{run.summary} was written by another version: clear the merge task") from None

    @property
    def new_images(self) -> int:
        """How many images say how this run went: all but those that are known, and those that failed once more."""
        return self.images - self.known_images - self.failed_before

    @property
    def new_failures(self) -> int:
        """How many of these failed."""
        return self.failed_images - self.failed_before

    def save(self, run: RunFolder) -> None:
        """Write the summary."""
        run.summary.write_bytes(json.dumps(asdict(self), indent=1, ensure_ascii=False).encode())

    def check(self) -> None:
        """Refuse to pass for a success what is none.

        :raises IncompleteRunError: when a batch is unfinished.
        :raises TooManyFailuresError: when more images failed than the run allows.
        """
        if not self.succeeded:
            raise (TooManyFailuresError if self.complete else IncompleteRunError)(self.problem)


def judged(merged: MergedRun, allowed: float, *, known_links: int) -> MergedRun:
    """``merged`` with whether it succeeded.

    :param allowed: the share of the images that may fail, of those that are new and of all, and of the dataset's rows.
    :param known_links: how many images were left out of the run because an earlier one has read them.
    """
    images = merged.images + known_links
    problem = _describe_unfinished(merged) if merged.unfinished else _describe_failures(merged, images, allowed)
    return replace(merged, succeeded=not problem, problem=problem)


def _describe_failures(merged: MergedRun, images: int, allowed: float) -> str:
    """Why too much failed, and what to do about it, for people; empty when it did not.

    :param images: how many the dataset has, those that were left out among them.
    """
    rows = merged.rows + merged.rejected
    if too_many(merged.rejected, rows, allowed):
        return (
            f"{merged.rejected:,} of {rows:,} rows of the dataset could not be read ({share(merged.rejected, rows)}), "
            f"more than max_failures ({allowed:g}) allows: rejected.csv says which and why. Correct the "
            "dataset, or the settings format and encoding, and start a new run"
        )
    # The new ones by themselves, so that many known ones hide none of their failures; and all, so that a run that has
    # the text of hardly any image is no success because an earlier one had none either.
    for failed, wanted, what in (
        (merged.new_failures, merged.new_images, "images" if merged.new_images == images else "new images"),
        (merged.failed_images, images, "images"),
    ):
        if not too_many(failed, wanted, allowed):
            continue
        return (
            f"{failed:,} of {wanted:,} {what} failed ({share(failed, wanted)}), more than "
            f"max_failures ({allowed:g}) allows: {describe(merged.failures)} All rows are in the results. When the "
            "batches (read_batch) are cleared with their downstream tasks, only what failed is read again; a run with "
            "a larger max_failures takes the failures as they are"
        )
    return ""


def _describe_unfinished(merged: MergedRun) -> str:
    """What an incomplete run lacks and what to do about it, for people."""
    named = [
        f"batch {batch.index}: {batch.finished:,} of {batch.images:,} images finished ({batch.reason})"
        for batch in merged.unfinished[:10]
    ]
    more = f"; and {len(merged.unfinished) - 10} more" if len(merged.unfinished) > 10 else ""
    return (
        f"the results are incomplete: {len(merged.unfinished)} of {merged.batches} batches did not finish. "
        f"{'; '.join(named)}{more}. All rows are in the results, those without a reading as 'unfinished'. "
        "Clear the failed read_batch tasks with their downstream tasks; only they and the merge run again"
    )
