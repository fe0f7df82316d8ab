"""Reads one batch of a run when it is told to: ``python -m tests.reading.one_batch RUN INDEX AT_ONCE ALLOWED…``.

It prints a line when it is ready, and begins when it gets one.
"""

from __future__ import annotations

import sys

from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import Allowances
from tests.conftest import reading_with


def main() -> None:
    """Read it."""
    uri, index, at_once, *entries = sys.argv[1:]
    allowances = Allowances.parse(entries)
    batch = Plan.load(RunFolder.open(uri, allowances)).batches[int(index)]
    reading = Batch(batch, allowances, reading_with(), at_once=int(at_once) or None)
    print("ready", flush=True)
    sys.stdin.readline()
    reading.run()


if __name__ == "__main__":
    main()
