"""Why an object store did not do what it was asked, out of what its client raises.

obstore has exception classes for the answers that stores give most often. The rest stands in its messages alone:
their first line is for people, the debug text that ends them says what broke. Keys and bodies stand there quoted,
their line ends escaped, so that none of them can pass for a line of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from obstore.exceptions import (
    AlreadyExistsError,
    InvalidPathError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

_DEBUG = "Debug source:\n"
_STATUS = re.compile(r"^ *status: (\d{3}),$", re.MULTILINE)
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_HTTP_ERROR = re.compile(r"^ *kind: (Connect|Request|Timeout|Interrupted),$", re.MULTILINE)
# Requests that are made for credentials: of the machine's own role, or of an identity provider, which are redacted.
_FOR_CREDENTIALS = re.compile(
    r"^ *(source: TokenRequest \{|uri: None,|source: \"Failed to read token file"
    r"|https?://(169\.254\.|metadata\.google|oauth2\.|[^/]+/latest/(api/token|meta-data/)))",
    re.MULTILINE,
)


class Cause(Enum):
    """What kept a store from doing what it was asked; the value says it to people."""

    ANSWER = "it answered"
    BAD_KEY = "no object can have this key"
    NO_CREDENTIALS = "no credentials could be had for it, neither from its connection nor from this machine"
    NO_ADDRESS = "the name of its endpoint has no address"
    NO_CONNECTION = "no connection could be made to its endpoint"
    BAD_CERTIFICATE = "its certificate is not valid"
    NOT_SENT = "the request could not be sent"
    BROKEN_OFF = "the connection broke before the end"
    TIMEOUT = "the store did not answer in time"
    REDIRECTS = "more redirects than are followed"
    OTHER_REGION = "the bucket is in another region than its connection or the environment says"
    NO_SIZE = "the store does not say how large the object is"
    NOT_HTTP = "the answer is not valid HTTP"
    UNKNOWN = "the answer makes no sense"


_LASTING = frozenset({Cause.BAD_KEY, Cause.BAD_CERTIFICATE, Cause.REDIRECTS, Cause.OTHER_REGION, Cause.NO_SIZE})
_BROKEN_REQUESTS = frozenset({"BadDigest", "IncompleteBody", "RequestTimeout"})
"""What S3 says with HTTP 400 of a request that got damaged or stuck on its way."""

_FORGOTTEN = frozenset({"NoSuchUpload"})
"""What S3 says of an upload in parts that it does not know any more: it was completed, and the answer got lost, so that
it was asked to complete it once more; or it waited too long. Writing the object again mends both."""

_STATUS_OF_CLASS: tuple[tuple[type[Exception], int], ...] = (
    (FileNotFoundError, 404),
    (PermissionDeniedError, 403),
    (UnauthenticatedError, 401),
    (PreconditionError, 412),
    (AlreadyExistsError, 409),
    (NotModifiedError, 304),
)
_CAUSE_OF_HTTP_ERROR = {
    "Connect": Cause.NO_CONNECTION,
    "Request": Cause.NOT_SENT,
    "Interrupted": Cause.BROKEN_OFF,
    "Timeout": Cause.TIMEOUT,
}
# Lines of their own as well. They are more precise than the kind of the HTTP error, and stand beside it.
_SIGN = re.compile(
    r"^ *(?:source: |inner: |error: )?"
    r"(TooManyRedirects,|BareRedirect,|MissingContentLength,|Parse\(|InvalidCertificate\(|\"dns error\",)",
    re.MULTILINE,
)
_CAUSE_OF_SIGN = {
    "TooManyRedirects,": Cause.REDIRECTS,
    "BareRedirect,": Cause.OTHER_REGION,
    "MissingContentLength,": Cause.NO_SIZE,
    "Parse(": Cause.NOT_HTTP,
    "InvalidCertificate(": Cause.BAD_CERTIFICATE,
    '"dns error",': Cause.NO_ADDRESS,
}


@dataclass(frozen=True, slots=True)
class StoreFailure:
    """What :func:`explain` makes of an error; as text, it quotes nothing of the answer but the store's own code.

    :ivar status: of HTTP, when the cause is the answer.
    :ivar code: the store's name for what is wrong, such as ``NoSuchKey``, when its answer has one.
    :ivar request: what obstore says of the request, its URL among it, when there was no answer.
    """

    cause: Cause
    status: int | None = None
    code: str | None = None
    request: str = ""

    def __str__(self) -> str:
        if self.status is None:
            return self.cause.value
        return f"it answered HTTP {self.status}" + (f" ({self.code})" if self.code else "")

    @property
    def missing(self) -> bool:
        """Whether what was asked for is not there."""
        return self.status == 404 and self.code not in _FORGOTTEN

    @property
    def no_bucket(self) -> bool:
        """Whether the bucket itself is not there."""
        return self.code == "NoSuchBucket"

    @property
    def may_pass(self) -> bool:
        """Whether it looks like an outage, of the store or of the network on the way there."""
        if self.status is not None:
            return self.code in _FORGOTTEN or self.status in (408, 429) or (self.status >= 500 and self.status != 501)
        return not self.lasts and self.cause is not Cause.NO_CREDENTIALS

    @property
    def refused(self) -> bool:
        """Whether the credentials do not allow it."""
        return self.status in (401, 403)

    @property
    def lasts(self) -> bool:
        """Whether it stays until a person changes something, for another reason than the credentials."""
        if self.status == 400:
            return self.code not in _BROKEN_REQUESTS
        return self.cause in _LASTING or self.status in (301, 405, 501)


def explain(error: Exception) -> StoreFailure:
    """What ``error``, raised by obstore, means."""
    debug = str(error).rpartition(_DEBUG)[2]
    code = _CODE.search(debug)
    for kind, status in _STATUS_OF_CLASS:
        if isinstance(error, kind):
            return StoreFailure(Cause.ANSWER, status, code[1] if code else None)
    if isinstance(error, InvalidPathError):
        return StoreFailure(Cause.BAD_KEY)
    if _FOR_CREDENTIALS.search(debug):
        return StoreFailure(Cause.NO_CREDENTIALS)
    if answered := _STATUS.search(debug):
        return StoreFailure(Cause.ANSWER, int(answered[1]), code[1] if code else None)
    return StoreFailure(_cause(debug), request=str(error).partition("\n")[0])


def _cause(debug: str) -> Cause:
    if sign := _SIGN.search(debug):
        return _CAUSE_OF_SIGN[sign[1]]
    http_error = _HTTP_ERROR.search(debug)
    return _CAUSE_OF_HTTP_ERROR[http_error[1]] if http_error else Cause.UNKNOWN
