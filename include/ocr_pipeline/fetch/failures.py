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
        unanswered: bool = False,
    ) -> None:
        super().__init__(category, detail)
        self.status = status
        self.retry_after = retry_after
        self.connected = connected
        self.unanswered = unanswered

    def copy(self) -> RequestFailedError:
        """The same failure once more, for another image."""
        return RequestFailedError(
            self.category,
            self.detail,
            self.status,
            retry_after=self.retry_after,
            connected=self.connected,
            unanswered=self.unanswered,
        )
