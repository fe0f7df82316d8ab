"""Makes no DAG: shows, as an import error, which files of ``include/datasets`` were refused and why.

A file of its own, so that the DAGs of the other files stay.
"""

from __future__ import annotations

from ocr_airflow.datasets import DatasetFileError, declared_datasets

refused = declared_datasets().problems
if refused:
    raise DatasetFileError("\n".join(str(problem) for problem in refused))
