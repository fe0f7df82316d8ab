"""Looking whether a dataset is there, which opens none of it."""

from __future__ import annotations

import logging

from ocr_pipeline.dataset.locations import find_local, is_local, unknown_place
from ocr_pipeline.dataset.queries import RunQuery, is_query, look_for_rows
from ocr_pipeline.dataset.remote import is_object, is_web, look_for_objects, look_for_web
from ocr_pipeline.errors import DatasetMissingError
from ocr_pipeline.settings.addresses import split_entries
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings

log = logging.getLogger(__name__)


def dataset_exists(settings: RunSettings, allowances: Allowances, run_query: RunQuery | None = None) -> bool:
    """Whether the dataset that ``settings`` name is there, in every place that they name; the log says where it is not.

    A file, an object or what matches a glob is there by its name, what is behind a URL by the head of the server's
    answer, and a query's result when it has a row. Whether any of it can be read, only opening it tells.

    :param run_query: runs the query of a dataset that is one.
    :raises DatasetUnavailableError: when that cannot be told now.
    :raises StorageError: when an object store cannot be asked now.
    :raises DatasetError: when it is not allowed, or cannot be asked for like this.
    """
    try:
        for entry in split_entries(settings.dataset):
            _look_for(entry, settings, allowances, run_query)
    except DatasetMissingError as error:
        log.info("not there yet: %s", error)
        return False
    return True


def _look_for(entry: str, settings: RunSettings, allowances: Allowances, run_query: RunQuery | None) -> None:
    if is_local(entry):
        find_local(entry, allowances)
    elif is_web(entry):
        look_for_web(entry, settings, allowances)
    elif is_object(entry):
        look_for_objects(entry, allowances)
    elif is_query(entry):
        look_for_rows(entry, settings.query, allowances, run_query)
    else:
        raise unknown_place(entry)
