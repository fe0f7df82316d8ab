"""What an installation may have been made without: the extra ``paddle``, which ``requirements-slim.txt`` leaves out."""

from __future__ import annotations

from ocr_pipeline.errors import EngineError


def paddle_missing(what: str, package: str, more: object) -> EngineError:
    """The error that ``what`` needs ``package``, which is in the extra.

    :param more: what its import said, or what else helps.
    """
    return EngineError(
        f"{what} needs the package {package}, which is in requirements.txt and not in requirements-slim.txt "
        f"(the extra paddle): pip install {package} ({more})"
    )
