"""What an installation may have been made without: the extra ``paddle``."""

from __future__ import annotations

from ocr_pipeline.errors import EngineError


def paddle_missing(what: str, package: str, more: object) -> EngineError:
    """The error that ``what`` needs ``package``, which is in the extra.

    :param more: what its import said, or what else helps.
    """
    return EngineError(
        f"{what} needs the package {package}, which is in the extra paddle, and in images that are built with it in "
        f"EXTRAS: pip install {package} ({more})"
    )
