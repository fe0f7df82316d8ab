"""The index of a staged batch: what the results of a run are searched by while it goes on.

It lies beside the staged file, as an Arrow file, and says of which file it is. It has the
images that the batch has read; rows that repeat an earlier link come with the merge.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ocr_pipeline.errors import StagedBatchError
from ocr_pipeline.records import READ_ROW, ROW, BatchRef
from ocr_pipeline.run.blocks import reading_blocks
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.index import INDEX_SCHEMA, SEARCHED_SCHEMA, index_table, searched_texts
from ocr_pipeline.run.plan import Plan, planned_rows
from ocr_pipeline.run.staging import BatchStatistics, open_staged

STAGED_SCHEMA = pa.schema([*INDEX_SCHEMA, *SEARCHED_SCHEMA])
"""The columns of the index, and the texts to search in."""

_OF = b"csv_sha256"


def write_staged_index(run: RunFolder, batch: BatchRef, plan: Plan, statistics: BatchStatistics) -> None:
    """Write the index of a batch that is staged.

    :raises StagedBatchError: when what is staged is not what the plan has.
    :raises StorageError: when the run's folder cannot be read or written.
    """
    schema = STAGED_SCHEMA.with_metadata({_OF: statistics.csv_sha256.encode()})
    with run.staged_index(batch.index).writing() as path, pa.ipc.new_file(path, schema) as writer:
        for table in _tables(run, batch, plan):
            writer.write_table(table)


def read_staged_index(run: RunFolder, batch: BatchRef, plan: Plan, statistics: BatchStatistics) -> pa.Table:
    """The index of a batch that is staged; made anew where there is none of its file.

    :raises StagedBatchError: when what is staged is not what the plan has, or changes while it is read.
    :raises StorageError: when the run's folder cannot be read.
    """
    try:
        # Read as a whole: a file that another machine replaces would end the process, were it mapped into memory.
        with pa.ipc.open_file(run.staged_index(batch.index).read_bytes()) as content:
            index = content.read_all()
            if index.schema.equals(STAGED_SCHEMA) and index.schema.metadata[_OF] == statistics.csv_sha256.encode():
                return index.replace_schema_metadata(None)
    except (FileNotFoundError, pa.ArrowException):
        pass
    return pa.concat_tables([STAGED_SCHEMA.empty_table(), *_tables(run, batch, plan)])


def _tables(run: RunFolder, batch: BatchRef, plan: Plan) -> Iterator[pa.Table]:
    planned = planned_rows(run, batch)
    position = 0
    with open_staged(run, batch, plan.digests[batch.index]) as staged:
        for readings, _ in reading_blocks(staged, batch):
            places = pc.index_in(readings[READ_ROW], planned[ROW].combine_chunks())
            if places.null_count:
                raise StagedBatchError(f"{batch.label}: its staged file holds other rows than were planned")
            own = planned.drop_columns([ROW, READ_ROW]).take(places)
            results = readings.drop_columns([READ_ROW])
            index = index_table(position, readings[READ_ROW], own, results, plan.image_column, plan.base)
            yield pa.Table.from_arrays([*index.columns, *searched_texts(own, results).columns], schema=STAGED_SCHEMA)
            position += readings.num_rows
