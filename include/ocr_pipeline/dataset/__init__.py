"""Reading a dataset: rows, one of whose columns links to images, from files, folders, stores and databases.

Public surface: :func:`open_dataset` gives a :class:`Dataset`, whose rows are streamed as Arrow record batches.
"""

from ocr_pipeline.dataset.locations import is_local, local_folders, split_entries
from ocr_pipeline.dataset.opening import READ_ROW, ROW, Dataset, open_dataset

__all__ = ["READ_ROW", "ROW", "Dataset", "is_local", "local_folders", "open_dataset", "split_entries"]
