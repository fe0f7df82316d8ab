"""Where a run's files lie, and writing them so that they appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ocr_pipeline.config import Allowances
from ocr_pipeline.errors import StorageError

_TEMPORARY = ".tmp-"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; on leaving, it becomes ``path`` in one step.

    The content is on the disk before the name is, so a crash leaves either the old file or the new one.
    If the body raises, nothing appears and the temporary file is removed.

    :raises StorageError: when the file system refuses (full, read-only, gone).
    """
    temporary = path.with_name(f"{_TEMPORARY}{path.name}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}; free or fix it, then retry") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all.

    :raises StorageError: when the file system refuses.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def is_temporary(path: Path) -> bool:
    """Whether ``path`` was left behind by a write that never finished."""
    return path.name.startswith(_TEMPORARY)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run: the name of every file in it."""

    path: Path

    @classmethod
    def of(cls, output: str, run_id: str, allowances: Allowances) -> RunFolder:
        """The folder of ``run_id`` under ``output``.

        Characters that some file systems refuse are replaced, and a short digest then keeps names apart.

        :raises StorageError: when ``output`` is not an absolute local folder that the deployment allows.
        """
        if not output.startswith(("/", "~")):
            raise StorageError(f"output {output!r} must be an absolute folder, such as /data/ocr")
        folder = Path(os.path.realpath(os.path.expanduser(output)))
        if not allowances.allows_path(folder):
            raise StorageError(
                f"output folder {folder} is not allowed here: add it to the Airflow variable ocr_allow "
                f"(with make run: ALLOW={folder})"
            )
        name = re.sub(r"[^A-Za-z0-9._+-]", "-", run_id).lstrip(".")
        if name != run_id:
            name = f"{name}-{sha256(run_id.encode()).hexdigest()[:6]}"
        return cls(folder / name)

    @property
    def plan(self) -> Path:
        """Settings, counts and batches; written when the plan is whole."""
        return self.path / "plan.json"

    def plan_batch(self, index: int) -> Path:
        """The dataset's rows of one batch."""
        return self.path / "plan" / f"batch-{index:05}.parquet"

    def checkpoints(self, index: int) -> Path:
        """Folder of the finished images of a batch that is still running."""
        return self.path / "checkpoints" / f"batch-{index:05}"

    def progress(self, index: int) -> Path:
        """How far a running batch is."""
        return self.checkpoints(index) / "progress.json"

    def journal(self, index: int) -> Path:
        """Which images a running batch is reading right now."""
        return self.checkpoints(index) / "reading.log"

    def staged(self, index: int) -> Path:
        """The results of one batch."""
        return self.path / "batches" / f"batch-{index:05}.csv"

    def marker(self, index: int) -> Path:
        """Statistics of a staged batch; written last, so it says that the batch is whole."""
        return self.path / "batches" / f"batch-{index:05}.json"

    @property
    def results_csv(self) -> Path:
        """The merged results as CSV."""
        return self.path / "results.csv"

    @property
    def results_parquet(self) -> Path:
        """The merged results as Parquet."""
        return self.path / "results.parquet"

    @property
    def failures_csv(self) -> Path:
        """The rows that failed, and why."""
        return self.path / "failures.csv"

    @property
    def summary(self) -> Path:
        """Counts of the merged run; written after the results."""
        return self.path / "summary.json"
