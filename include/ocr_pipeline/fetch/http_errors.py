"""What the errors of an HTTP request mean."""

from __future__ import annotations

import ssl

import aiohttp

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch.addresses import AddressRefusedError
from ocr_pipeline.fetch.failures import RequestFailedError

# How aiohttp begins to say that a connection was closed in the midst of a body. Of everything else that may be wrong
# with one, it raises the same exception.
_ENDED_EARLY = "Response payload is not completed"
_NEVER_CONNECTED = (ErrorCategory.NAME_NOT_RESOLVED, ErrorCategory.CONNECT_FAILED)


class NoAnswerError(aiohttp.ClientConnectionError):
    """The connection broke before any answer."""


def explain(error: Exception, host: str, response: aiohttp.ClientResponse | None) -> RequestFailedError:
    """What ``error`` of a request to ``host``, of which ``response`` had come, means.

    Errors that may quote the URL are not quoted.
    """
    status = response.status if response else None
    refused = _cause(error) if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(refused, AddressRefusedError):
        detail = str(refused)
        if detail.partition(" ")[0].strip("[]") not in host:
            detail = f"{host}: {detail}"
        return RequestFailedError(ErrorCategory.FORBIDDEN_ADDRESS, detail, status)
    if isinstance(error, aiohttp.ClientPayloadError) and response is not None:
        category, detail = _meaning_in_body(error, response)
    else:
        category, detail = _meaning(error)
    return RequestFailedError(category, f"{host}: {detail}", status, connected=category not in _NEVER_CONNECTED)


def _meaning(error: Exception) -> tuple[ErrorCategory, str]:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return ErrorCategory.NAME_NOT_RESOLVED, _reason(_cause(error)) or "the name has no address"
        case aiohttp.ClientConnectorCertificateError():
            return ErrorCategory.TLS_FAILED, str(_cause(error))
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return ErrorCategory.TLS_FAILED, str(error.strerror or error)
        case aiohttp.ClientHttpProxyError():
            return ErrorCategory.CONNECT_FAILED, f"the proxy answered HTTP {error.status} instead of connecting"
        case aiohttp.ClientProxyConnectionError():
            return ErrorCategory.CONNECT_FAILED, f"no connection to the proxy ({_reason(_cause(error))})"
        case aiohttp.ClientConnectorError():
            return ErrorCategory.CONNECT_FAILED, _reason(_cause(error))
        case ValueError():  # aiohttp.InvalidURL among them
            return ErrorCategory.INVALID_LINK, "not a valid host name, address or login"
        case aiohttp.ClientResponseError():
            return ErrorCategory.BAD_RESPONSE, f"the answer is not valid HTTP ({_first_line(error.message)})"
    return ErrorCategory.CONNECTION_LOST, f"the connection broke before any answer ({_first_line(_reason(error))})"


def _meaning_in_body(error: aiohttp.ClientPayloadError, response: aiohttp.ClientResponse) -> tuple[ErrorCategory, str]:
    if str(error).startswith(_ENDED_EARLY):
        announced = response.headers.get("Content-Length", "an unknown number of")
        came = f"{response.content.total_raw_bytes} of {announced} bytes"
        return ErrorCategory.CONNECTION_LOST, f"the body ended too early, after {came}"
    return ErrorCategory.BAD_RESPONSE, "the body is not valid HTTP"


def _cause(error: Exception) -> BaseException:
    """What the system or a library underneath said, which aiohttp gives as the cause of its own error."""
    return error.__cause__ or error


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _first_line(message: str) -> str:
    """What a parser says before it quotes the bytes that it stumbled over."""
    return (message.strip().splitlines() or ["no reason given"])[0].rstrip(":.")
