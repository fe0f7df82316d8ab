"""The plan of a run, as its folder holds it: ``plan.json``, and the rows of each batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ocr_pipeline.errors import MissingPlanError, PlanError, SettingsError
from ocr_pipeline.records import READ_ROW, ROW, BatchRef, ImageRef, Rows
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.run import ReadSettings, RunSettings

_VERSION = 6
_ROW_TYPE = "<i8"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do: its settings and its batches, as ``plan.json`` holds them.

    It holds no secret: the addresses of the dataset are in ``settings`` as they may be shown, and ``dataset_seal``
    tells whether others were meant (:func:`~ocr_pipeline.settings.addresses.dataset_seal`).

    ``base`` is where relative links start: a folder, a URL, or empty when there is nowhere. ``rejected`` counts rows
    of the dataset that could not be read, ``renamed`` names its columns that had to make way for those of the results.
    ``images`` counts distinct links that are to be read, ``known`` those that the runs ``known_in`` have read.
    ``digests`` are those of the batches: :func:`batch_digest`. ``trimmed_at`` is when the readings of the
    batches were removed (:mod:`ocr_pipeline.run.retention`); empty while they are there.
    """

    settings: RunSettings
    dataset_seal: str
    image_column: str
    base: str
    rows: int
    rejected: int
    renamed: dict[str, str]
    images: int
    known: int
    known_in: tuple[str, ...]
    batch_size: int
    batches: tuple[BatchRef, ...]
    digests: tuple[str, ...]
    created_at: str
    trimmed_at: str = ""

    @classmethod
    def load(cls, run: RunFolder) -> Plan:
        """Read the plan of ``run``.

        :raises PlanError: when there is none, or it cannot be read.
        """
        try:
            values: dict[str, Any] = json.loads(run.plan.read_bytes())
            if values.pop("version") != _VERSION:
                raise PlanError(f"{run.plan} was written by another version; start a new run")
            values["settings"] = RunSettings.parse(values["settings"])
            values["known_in"] = tuple(values["known_in"])
            values["digests"] = tuple(values["digests"])
            values["batches"] = tuple(BatchRef(run=run.uri, **batch) for batch in values["batches"])
            return cls(**values)
        except FileNotFoundError:
            raise MissingPlanError(f"{run.plan} is not there: clear the plan task first") from None
        except SettingsError as error:
            raise PlanError(
                f"{run.plan} has settings that this version does not take ({error}): finish the run with the version "
                "that planned it, or start a new one"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise PlanError(f"{run.plan} is damaged ({error}): delete it and clear the plan task") from error

    def save(self, run: RunFolder) -> None:
        """Write the plan; done last, its presence says that every batch's rows are there."""
        values = {
            "version": _VERSION,
            **{name: getattr(self, name) for name in self.__slots__},
        }
        values["settings"] = self.settings.model_dump(mode="json")
        values["batches"] = [
            {name: value for name, value in asdict(batch).items() if name != "run"} for batch in self.batches
        ]
        if not self.trimmed_at:
            del values["trimmed_at"]  # which versions before it do not know
        run.plan.write_bytes(json.dumps(values, indent=1, ensure_ascii=False).encode())

    def check_whole(self, run: RunFolder) -> None:
        """See that the readings of the batches are there, as far as they were made.

        :raises PlanError: when they were removed.
        """
        if self.trimmed_at:
            raise PlanError(
                f"{run.uri} was trimmed at {self.trimmed_at}: its results stay, and its batches can be neither read "
                "nor merged again; start a new run"
            )


def batch_digest(settings: ReadSettings, rows: Rows, links: Sequence[str | None]) -> str:
    """What the results of a batch depend on, in short: BLAKE2b of the links that it reads and of how it reads them.

    What a batch has staged or checkpointed carries it, so that none of it is taken for that of another plan.

    :param rows: of the images that are read, in order.
    :param links: theirs.
    """
    how = settings.model_dump(mode="json", include=set(ReadSettings.model_fields))
    texts = [(link or "").encode(errors="surrogatepass") for link in links]
    digest = hashlib.blake2b(json.dumps(how, sort_keys=True).encode(), digest_size=16)
    lengths = np.array([len(text) for text in texts], "<i8")
    for part in (rows.astype("<i8").tobytes(), lengths.tobytes(), b"".join(texts)):
        digest.update(part)
    return digest.hexdigest()


def batch_images(run: RunFolder, batch: BatchRef, plan: Plan) -> list[ImageRef]:
    """The images that ``batch`` reads: its rows whose link does not repeat an earlier one, in order.

    :raises PlanError: when the batch's rows are missing or damaged, or it is one of an earlier plan.
    """
    plan.check_whole(run)
    if batch not in plan.batches[batch.index : batch.index + 1]:
        raise PlanError(f"{batch.label} is of an earlier plan of {run.uri}: clear the plan task, and all after it")
    # Arrow's own functions: NumPy arrays in or out of a table would import pandas, a third of a second a task.
    table = planned_rows(run, batch, [ROW, READ_ROW, plan.image_column])
    own = table.filter(pc.equal(table[ROW], table[READ_ROW]))
    rows, links = own[ROW].to_pylist(), own[plan.image_column].to_pylist()
    return [ImageRef(row, link or "") for row, link in zip(rows, links, strict=True)]


def failed_before(run: RunFolder, plan: Plan) -> Rows:
    """The rows whose links failed in earlier runs of the catalog, sorted; none where the run has no catalog.

    :raises StorageError: when that cannot be read.
    """
    if plan.settings.catalog is None:
        return np.empty(0, np.int64)
    try:
        return np.frombuffer(run.failed_before.read_bytes(), _ROW_TYPE).astype(np.int64)
    except FileNotFoundError:  # an earlier version made the plan
        return np.empty(0, np.int64)


def save_failed_before(run: RunFolder, rows: Rows) -> None:
    """Keep ``rows`` for :func:`failed_before`."""
    run.failed_before.write_bytes(rows.astype(_ROW_TYPE).tobytes())


def planned_rows(run: RunFolder, batch: BatchRef, columns: list[str] | None = None) -> pa.Table:
    """What the plan holds of ``batch``: the dataset's own columns, :data:`ROW` and :data:`READ_ROW`.

    The latter is negative where the image is not read: -1 - n, because run n of ``known_in`` has read it.

    :param columns: only these.
    :raises PlanError: when it is damaged; as :class:`MissingPlanError` when it is not there or cannot be read.
    :raises StorageError: when its store cannot be reached.
    """
    file = run.plan_batch(batch.index)
    try:
        # Not read_table, which imports pandas as well.
        with file.reading() as path, pa.parquet.ParquetFile(path) as content:
            return content.read(columns=columns)
    except OSError as error:
        raise MissingPlanError(f"{file} cannot be read now ({error}): a retry goes on when it can") from error
    except pa.ArrowException as error:
        raise PlanError(f"{file} cannot be read ({error}): delete plan.json and clear the plan task") from error
