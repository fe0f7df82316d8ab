"""Reading a dataset in tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ocr_pipeline.dataset import Dataset, open_dataset
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings


def opened(dataset: Path | str, allow: Path | str, **settings: Any) -> Dataset:
    """The dataset ``dataset``, with what lies in ``allow`` allowed."""
    values = {"dataset": str(dataset), "output": "/x", **settings}
    scratch = Path(tempfile.mkdtemp(dir=os.environ["OCR_TESTS_FOLDER"]))
    return open_dataset(RunSettings.parse(values), Allowances.parse(str(allow)), scratch)


def rows(path: Path | str, limit: int | None = None, **settings: Any) -> list[dict[str, Any]]:
    """The rows of the dataset at ``path``."""
    dataset = opened(path, Path(str(path)).parent, **settings)
    return [row for batch in dataset.record_batches(limit) for row in batch.to_pylist()]
