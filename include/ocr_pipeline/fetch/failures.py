"""Why a request gave no body."""

from __future__ import annotations

from ocr_pipeline.errors import ErrorCategory, ImageError


class RequestFailedError(ImageError):
    """A request gave no body.

    ``status`` is None if no answer came; ``retry_after`` is in seconds; ``connected`` is False if the host could not
    even be reached.
    """

    def __init__(
        self,
        category: ErrorCategory,
        detail: str,
        status: int | None = None,
        *,
        retry_after: float | None = None,
        connected: bool = True,
    ) -> None:
        super().__init__(category, detail)
        self.status = status
        self.retry_after = retry_after
        self.connected = connected

    def copy(self) -> RequestFailedError:
        """The same failure once more, for another image."""
        return RequestFailedError(
            self.category, self.detail, self.status, retry_after=self.retry_after, connected=self.connected
        )


def refused_by_status(status: int, says: str, retry_after: float | None = None) -> RequestFailedError:
    """What an answer with ``status`` means that is no whole image; ``says`` becomes the detail."""
    if status in (404, 410):
        return RequestFailedError(ErrorCategory.NOT_FOUND, says, status)
    if status == 429 or status in (408, 425) or status >= 500:
        category = ErrorCategory.THROTTLED if status == 429 else ErrorCategory.HTTP_SERVER_ERROR
        return RequestFailedError(category, says, status, retry_after=retry_after)
    if status >= 400:
        return RequestFailedError(ErrorCategory.HTTP_REFUSED, says, status)
    detail = f"{says}, which does not answer a request for a whole image"
    return RequestFailedError(ErrorCategory.BAD_RESPONSE, detail, status)
