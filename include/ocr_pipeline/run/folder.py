"""Where a run's files lie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.folders import Folder, StoredFile
from ocr_pipeline.storage.opening import open_folder
from ocr_pipeline.storage.patience import PATIENCE, Patience


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run: the name of every file in it."""

    folder: Folder

    @classmethod
    def of(cls, output: str, run_id: str, allowances: Allowances) -> RunFolder:
        """The folder of ``run_id`` under ``output``.

        Characters that some file systems refuse are replaced, and a short digest then keeps names apart.

        :raises SettingsError: when ``output`` cannot be used or is not allowed.
        """
        name = re.sub(r"[^A-Za-z0-9._+-]", "-", run_id).lstrip(".")
        if name != run_id:
            name = f"{name}-{sha256(run_id.encode()).hexdigest()[:6]}"
        return cls.open(f"{open_folder(output, allowances).uri}/{name}", allowances)

    @classmethod
    def open(cls, uri: str, allowances: Allowances, patience: Patience = PATIENCE) -> RunFolder:
        """The folder whose :attr:`uri` this is.

        :param patience: with the store of a bucket.
        :raises SettingsError: when it cannot be used or is not allowed.
        """
        return cls(open_folder(uri, allowances, patience))

    @property
    def uri(self) -> str:
        """Where it is: an absolute path, or a URI without credentials."""
        return self.folder.uri

    @property
    def name(self) -> str:
        """The last part of :attr:`uri`."""
        return self.uri.rpartition("/")[2]

    def catalog(self, name: str, allowances: Allowances) -> Folder:
        """The catalog ``name`` of what the runs in the same output folder have read.

        :raises SettingsError: when it is not allowed.
        """
        return open_folder(f"{self.uri.rpartition('/')[0]}/.catalog/{name}", allowances)

    @property
    def plan(self) -> StoredFile:
        """Settings, counts and batches; written when the plan is whole."""
        return self.folder.file("plan.json")

    def plan_batch(self, index: int) -> StoredFile:
        """The dataset's rows of one batch."""
        return self.folder.file(f"plan/{_batch_name(index)}.parquet")

    @property
    def known_contents(self) -> StoredFile:
        """Digests of the image files that earlier runs have read; absent unless the run goes by them."""
        return self.folder.file("plan/known.sha256")

    @property
    def failed_before(self) -> StoredFile:
        """The rows whose links failed in earlier runs of the catalog; absent where the run has none."""
        return self.folder.file("plan/failed_before.rows")

    @property
    def robots(self) -> Folder:
        """What the hosts of the images say in their robots.txt, for all batches; only where the run asks for it."""
        return self.folder.folder("robots")

    def checkpoints(self, index: int) -> Folder:
        """The finished images of a batch that is still running."""
        return self.folder.folder(f"checkpoints/{_batch_name(index)}")

    def begun(self, batches: Iterable[int]) -> set[int]:
        """Those of ``batches`` that have checkpoints.

        :raises StorageError: when that cannot be found out.
        """
        there = set(self.folder.folder("checkpoints").folders())
        return {index for index in batches if _batch_name(index) in there}

    def progress(self, index: int) -> StoredFile:
        """How far a running batch is."""
        return self.checkpoints(index).file("progress.json")

    @property
    def batches(self) -> Folder:
        """The files of the batches that are staged."""
        return self.folder.folder("batches")

    def staged(self, index: int) -> StoredFile:
        """The results of one batch."""
        return self.batches.file(f"{_batch_name(index)}.csv")

    def marker(self, index: int) -> StoredFile:
        """Statistics of a staged batch; written last, so it says that the batch is whole."""
        return self.batches.file(f"{_batch_name(index)}.json")

    def staged_index(self, index: int) -> StoredFile:
        """What the results of one batch are searched by until they are merged."""
        return self.batches.file(f"{_batch_name(index)}.arrow")

    @property
    def results_csv(self) -> StoredFile:
        """The merged results as CSV."""
        return self.folder.file("results.csv")

    @property
    def results_parquet(self) -> StoredFile:
        """The merged results as Parquet."""
        return self.folder.file("results.parquet")

    @property
    def failures_csv(self) -> StoredFile:
        """The rows that failed, and why."""
        return self.folder.file("failures.csv")

    @property
    def rejected_csv(self) -> StoredFile:
        """The rows of the dataset that could not be read and were left out; absent when there are none."""
        return self.folder.file("rejected.csv")

    @property
    def index(self) -> StoredFile:
        """What the results are filtered and ordered by: a narrow row for each of theirs."""
        return self.folder.file("index.parquet")

    @property
    def searched(self) -> StoredFile:
        """The texts that the results are searched in, one for each of their rows."""
        return self.folder.file("searched.arrow")

    @property
    def report(self) -> StoredFile:
        """The merged run as a page for people."""
        return self.folder.file("report.html")

    def preview(self, row: int, page: int) -> StoredFile:
        """A picture of a page of the image that was read for ``row``; absent unless the run makes them."""
        return self.previews.file(f"{row:012}-{page:04}.webp")

    @property
    def previews(self) -> Folder:
        """The pictures of pages."""
        return self.folder.folder("previews")

    @property
    def summary(self) -> StoredFile:
        """Counts of the merged run; written after the results."""
        return self.folder.file("summary.json")


def _batch_name(index: int) -> str:
    return f"batch-{index:05}"
