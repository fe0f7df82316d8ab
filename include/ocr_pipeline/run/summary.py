"""What a merged run comes to: the content of ``summary.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

from ocr_pipeline.errors import PlanError
from ocr_pipeline.run.folder import RunFolder


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
    of failure and ``warnings`` each warning. ``images`` counts distinct links, ``failed_images`` those with a page that
    failed or was not read, ``bytes`` adds up their files. ``seconds`` is the work of all ``batches`` added up. The run
    is ``complete`` when none of them is ``unfinished``.
    """

    complete: bool
    unfinished: tuple[UnfinishedBatch, ...]
    batches: int
    rows: int
    rejected: int
    result_rows: int
    failed_rows: int
    images: int
    failed_images: int
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
            values["models"] = tuple(values["models"])
            return cls(**values)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            raise PlanError(f"{run.summary} was written by another version: clear the merge task") from None

    def save(self, run: RunFolder) -> None:
        """Write the summary."""
        run.summary.write_bytes(json.dumps(asdict(self), indent=1, ensure_ascii=False).encode())


def describe_unfinished(merged: MergedRun) -> str:
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
