"""Counting the rows of the results as they are written: a table of statuses, errors and warnings."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pyarrow as pa

from ocr_pipeline.errors import Status

_KEYS = ["ocr_status", "ocr_error", "ocr_warning"]
_ROWS = "rows"


class ResultStatistics:
    """How many result rows there are of each status, each category of failure and each warning."""

    def __init__(self) -> None:
        self._counts = pd.DataFrame(
            {_ROWS: pd.Series(dtype="int64")}, index=pd.MultiIndex.from_arrays([[]] * len(_KEYS))
        )

    def add(self, table: pa.Table) -> None:
        """Count the rows of ``table``, which has the columns of the results."""
        # Arrow counts, so that what pandas gets is a few rows and not those of the results.
        counts = table.select(_KEYS).group_by(_KEYS).aggregate([([], "count_all")]).to_pandas()
        counts = counts.fillna({"ocr_error": "", "ocr_warning": ""}).set_index(_KEYS).set_axis([_ROWS], axis="columns")
        self._counts = pd.concat([self._counts, counts]).groupby(level=list(range(len(_KEYS)))).sum()

    @property
    def rows(self) -> int:
        """All of them."""
        return int(self._counts[_ROWS].sum())

    @property
    def failed(self) -> int:
        """Those that are placeholders rather than readings."""
        return sum(count for status, count in self.statuses.items() if Status(status).failed)

    @property
    def statuses(self) -> dict[str, int]:
        """Those of each status, the most frequent first."""
        return _by(self._counts, level=0)

    @property
    def errors(self) -> dict[str, int]:
        """Those of each category of failure, the most frequent first."""
        counts = _by(self._counts, level=1)
        counts.pop("", None)
        return counts

    @property
    def warnings(self) -> dict[str, int]:
        """Those with each warning, the most frequent first; a row may have several."""
        counts: Counter[str] = Counter()
        for warnings, rows in _by(self._counts, level=2).items():
            if warnings:
                counts.update(dict.fromkeys(warnings.split(","), rows))
        return dict(counts.most_common())


def _by(counts: pd.DataFrame, level: int) -> dict[str, int]:
    summed = counts.groupby(level=level)[_ROWS].sum().sort_values(ascending=False, kind="stable")
    return {str(name): int(count) for name, count in summed.items()}
