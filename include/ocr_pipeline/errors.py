"""Everything that can go wrong, by name.

Two kinds are kept apart. What is wrong with *one image* is an :class:`ErrorCategory`: it becomes data in
the results and the rest of the batch goes on. What is wrong with *a run* is an :class:`OcrPipelineError`:
it ends a task, and ``retryable`` says whether trying the same thing again can help.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What became of an image: the values of ``ocr_status``, each with its description in the documentation."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Status:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = "ok", "the page was read and has text"
    NO_TEXT = "no_text", "the page was read and has none"
    FETCH_FAILED = "fetch_failed", "the image's bytes could not be had"
    DECODE_FAILED = "decode_failed", "the bytes came and are no image that can be decoded"
    READ_FAILED = "read_failed", "the page was decoded and could not be read"
    UNFINISHED = "unfinished", "not read, because the batch of the image never finished; the run is not complete"
    KNOWN = "known", "not read, because an earlier run of the same catalog has read the image"

    @property
    def failed(self) -> bool:
        """Whether the row stands for an image that was to be read and was not."""
        return self not in (Status.OK, Status.NO_TEXT, Status.KNOWN)


class ErrorCategory(StrEnum):
    """Why an image has no text: the values of ``ocr_error``.

    Each category belongs to the stage that failed (:attr:`status`) and is either transient or permanent
    (:attr:`retryable`). The last lines of each entry are what the documentation and the report say of it: when it comes
    about, and what to do.
    """

    status: Status
    retryable: bool
    meaning: str
    remedy: str

    def __new__(
        cls,
        value: str,
        status: Status = Status.READ_FAILED,
        retryable: bool = False,
        meaning: str = "",
        remedy: str = "",
    ) -> ErrorCategory:
        member = str.__new__(cls, value)
        member._value_ = value
        member.status = status
        member.retryable = retryable
        member.meaning = meaning
        member.remedy = remedy
        return member

    MISSING_LINK = (
        "missing_link",
        Status.FETCH_FAILED,
        False,
        "the row's image cell is empty, or says that there is nothing, such as NULL or n/a",
        "fill the image cells of these rows, or leave the rows out",
    )
    INVALID_LINK = (
        "invalid_link",
        Status.FETCH_FAILED,
        False,
        "not an http(s) URL, not an object's URI and not a usable path",
        "correct the links; ocr_error_detail says what is wrong with each",
    )
    FORBIDDEN_ADDRESS = (
        "forbidden_address",
        Status.FETCH_FAILED,
        False,
        "the host is a private, loopback, link-local or metadata address that is not allowed",
        "if the hosts are yours, add their network to the Airflow variable ocr_allow",
    )
    FORBIDDEN_PATH = (
        "forbidden_path",
        Status.FETCH_FAILED,
        False,
        "the file lies outside the allowed folders",
        "add the folder to the Airflow variable ocr_allow, or move the files into one that is allowed",
    )
    FORBIDDEN_STORE = (
        "forbidden_store",
        Status.FETCH_FAILED,
        False,
        "the object is in no bucket that is allowed, or its connection cannot open the bucket",
        "add the bucket, with the connection that opens it, to the Airflow variable ocr_allow",
    )
    NOT_FOUND = (
        "not_found",
        Status.FETCH_FAILED,
        False,
        "HTTP 404 or 410, or no such file or object",
        "correct the links: the images were moved or removed",
    )
    HTTP_REFUSED = (
        "http_refused",
        Status.FETCH_FAILED,
        False,
        "another HTTP 4xx, such as 401 or 403",
        "if you have a login there, add its connection to the Airflow variable ocr_allow; else ask the host",
    )
    ROBOTS_REFUSED = (
        "robots_refused",
        Status.FETCH_FAILED,
        False,
        "the host asks robots to leave the image alone, in X-Robots-Tag or robots.txt; see the setting robots",
        "ask the host for permission; with it, set robots to ignore",
    )
    THROTTLED = (
        "throttled",
        Status.FETCH_FAILED,
        True,
        "HTTP 429: the host asked for fewer requests",
        "lower per_host or set host_rate, and clear the tasks: these images are tried again",
    )
    NOT_READY = (
        "not_ready",
        Status.FETCH_FAILED,
        True,
        "HTTP 202 with Retry-After: the host is still making the image",
        "clear the tasks later: these images are tried again",
    )
    HTTP_SERVER_ERROR = (
        "http_server_error",
        Status.FETCH_FAILED,
        True,
        "HTTP 5xx, 408 or 425",
        "clear the tasks when the host is well again: these images are tried again",
    )
    TOO_MANY_REDIRECTS = (
        "too_many_redirects",
        Status.FETCH_FAILED,
        False,
        "more redirects than allowed",
        "open a link in a browser, and put the address where it ends into the dataset",
    )
    NAME_NOT_RESOLVED = (
        "name_not_resolved",
        Status.FETCH_FAILED,
        True,
        "the host name has no address",
        "look for misspelt hosts; if they are right, mend the workers' DNS and clear the tasks",
    )
    CONNECT_FAILED = (
        "connect_failed",
        Status.FETCH_FAILED,
        True,
        "no connection could be made",
        "see that the workers can reach the hosts through firewalls and proxies, and clear the tasks",
    )
    HOST_UNAVAILABLE = (
        "host_unavailable",
        Status.FETCH_FAILED,
        True,
        "not requested: the host kept failing and is left alone for a while",
        "clear the tasks when the host is well again; a lower per_host spares it",
    )
    CONNECTION_LOST = (
        "connection_lost",
        Status.FETCH_FAILED,
        True,
        "the connection broke before the end",
        "clear the tasks: these images are tried again; if it goes on, lower per_host",
    )
    BAD_RESPONSE = (
        "bad_response",
        Status.FETCH_FAILED,
        False,
        "the answer is not valid HTTP, or none that makes sense, such as a redirect to a file",
        "open a link in a browser to see what the host answers, and link to the image itself",
    )
    TLS_FAILED = (
        "tls_failed",
        Status.FETCH_FAILED,
        False,
        "the host's certificate is not valid, or it speaks no TLS",
        "have the host's certificate renewed, or its authority trusted by the workers' systems",
    )
    TIMEOUT = (
        "timeout",
        Status.FETCH_FAILED,
        True,
        "a connect, read or total deadline passed",
        "clear the tasks; if it goes on, raise total_timeout, or lower concurrency where your own network is full",
    )
    TOO_LARGE = (
        "too_large",
        Status.FETCH_FAILED,
        False,
        "more bytes than max_bytes",
        "raise max_bytes, if files as large are meant",
    )
    FILE_UNREADABLE = (
        "file_unreadable",
        Status.FETCH_FAILED,
        False,
        "the file exists but cannot be read",
        "let the user that the workers run as read the files",
    )
    EMPTY_BODY = (
        "empty_body",
        Status.DECODE_FAILED,
        False,
        "there are no bytes",
        "upload the images again: there is nothing in these files",
    )
    NOT_AN_IMAGE = (
        "not_an_image",
        Status.DECODE_FAILED,
        False,
        "the bytes are something else, such as HTML",
        "open a link in a browser: it may lead to a login, a notice or a page around the image; link to the image",
    )
    TRUNCATED = (
        "truncated",
        Status.DECODE_FAILED,
        False,
        "the image ends before its end",
        "upload the images again: a part of these files is missing",
    )
    CORRUPT = (
        "corrupt",
        Status.DECODE_FAILED,
        False,
        "the image's data cannot be decoded",
        "save the images again with another program; these files are damaged",
    )
    TOO_MANY_PIXELS = (
        "too_many_pixels",
        Status.DECODE_FAILED,
        False,
        "more pixels than max_pixels",
        "raise max_pixels, if the workers have memory for it, or reduce the images",
    )
    TOO_MANY_PAGES = (
        "too_many_pages",
        Status.DECODE_FAILED,
        False,
        "the document goes on after 2,000 pages",
        "split the documents",
    )
    ENGINE_CRASHED = (
        "engine_crashed",
        Status.READ_FAILED,
        False,
        "reading the image crashed the reader process, hung it or took all its memory, also when it was read alone",
        "give the workers more memory or lower threads or max_pixels, and clear the tasks",
    )
    ENGINE_ERROR = (
        "engine_error",
        Status.READ_FAILED,
        True,
        "the OCR engine raised an error on this page",
        "clear the tasks: these pages are tried again; ocr_error_detail says what the engine raised",
    )
    BATCH_UNFINISHED = (
        "batch_unfinished",
        Status.UNFINISHED,
        True,
        "the batch failed for good before it came to this image",
        "clear the read_batch tasks that failed with those after them: only what is missing is read",
    )


class WarningCategory(StrEnum):
    """What may be wrong with a page that was read: the values of ``ocr_warning``.

    The last lines of each entry are what the documentation and the report say of it: what it means, and what to do.
    """

    meaning: str
    remedy: str

    def __new__(cls, value: str, meaning: str = "", remedy: str = "") -> WarningCategory:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.remedy = remedy
        return member

    FONTS_MISSING = (
        "fonts_missing",
        "the PDF names fonts that are neither in it nor on the machine, so text may be missing from the page",
        "install the fonts that ocr_warning_detail names on the workers, and read these files again",
    )
    DAMAGED = (
        "damaged",
        "a part of the page cannot be decoded or may be damaged, so text may be missing from it or wrong",
        "look at these pages, and get their files again; ocr_warning_detail says what is damaged",
    )
    UNKNOWN_SCRIPT = (
        "unknown_script",
        "the page seems to be written in a script that the model does not read, so its text is not to be trusted",
        "read these images again with a model for the script; ocr_warning_detail names it",
    )


class ImageError(Exception):
    """One image failed; raised inside a stage and turned into a placeholder row by the batch."""

    def __init__(self, category: ErrorCategory, detail: str) -> None:
        super().__init__(f"{category}: {detail}")
        self.category = category
        self.detail = detail


class OcrPipelineError(Exception):
    """Base of every error that ends a task. ``retryable``: whether the same attempt may succeed later."""

    retryable = False


class SettingsError(OcrPipelineError):
    """A setting has a value that is not allowed."""


class RefusedRunError(SettingsError):
    """What a run itself was told cannot be done, and a run cannot be told anything else."""


class DatasetError(OcrPipelineError):
    """The dataset cannot be read as asked: no such file, no such column, an unreadable format."""


class DatasetMissingError(DatasetError):
    """The dataset is not there: not yet, or its name is wrong."""


class CatalogError(OcrPipelineError):
    """A file of the catalog of what was read is damaged."""


class DatasetUnavailableError(DatasetError):
    """The dataset could not be fetched for a reason that may pass."""

    retryable = True


class PlanError(OcrPipelineError):
    """A plan is missing, damaged, or belongs to other settings than those asked for."""


class MissingPlanError(PlanError):
    """A plan is not there or cannot be read: so it looks, too, while the folder of a run is out of reach."""

    retryable = True


class StorageError(OcrPipelineError):
    """The output folder cannot be read or written."""

    retryable = True


class StorageRefusedError(StorageError):
    """The output's folder or store will refuse until a person changes rights, names, or what is in the way."""

    retryable = False


class StagedBatchError(OcrPipelineError):
    """A staged batch does not agree with its marker or with the plan."""


class IncompleteRunError(OcrPipelineError):
    """The merge wrote what there is, and something is missing."""


class TooManyFailuresError(OcrPipelineError):
    """The merge wrote every row, and more images failed than the run allows."""


class OutageError(OcrPipelineError):
    """So many transient failures in one batch that the network or a host is down, not the images bad."""

    retryable = True


class StalledError(OcrPipelineError):
    """A batch stood still for far longer than its deadlines explain; what was finished is in its checkpoints."""

    retryable = True


class DeadlineError(OcrPipelineError):
    """A batch reached its deadline; what was finished is in its checkpoints."""

    retryable = True


class ReaderError(OcrPipelineError):
    """The process that reads images ends again and again, and no image is to blame."""

    retryable = True


class BatchCancelledError(OcrPipelineError):
    """The batch was asked to stop; what was finished is in its checkpoints."""

    retryable = True


class QueryError(OcrPipelineError):
    """A question about results asks for what cannot be: a status that there is not, a number out of bounds."""


class EngineError(OcrPipelineError):
    """The OCR engine cannot be used: not installed, no such device, or no such model."""


class ModelDownloadError(EngineError):
    """A model is not there and could not be downloaded."""

    retryable = True
