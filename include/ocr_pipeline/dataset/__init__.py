"""Reading a dataset: rows, one of whose columns links to images, from files, folders, stores and databases.

Public surface: :func:`open_dataset` gives a :class:`Dataset`, whose rows are streamed as Arrow record batches;
:func:`dataset_exists` only looks whether it is there.
"""

from ocr_pipeline.dataset.locations import is_local, local_folders
from ocr_pipeline.dataset.opening import Dataset, check_places, open_dataset
from ocr_pipeline.dataset.presence import dataset_exists
from ocr_pipeline.dataset.queries import QueryRows, RunQuery
from ocr_pipeline.settings.addresses import split_entries

__all__ = [
    "Dataset",
    "QueryRows",
    "RunQuery",
    "check_places",
    "dataset_exists",
    "is_local",
    "local_folders",
    "open_dataset",
    "split_entries",
]
