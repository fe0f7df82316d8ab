"""What a link of the dataset points at: an HTTP resource, an object in a store or a file."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from yarl import URL

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.settings.addresses import STORE_SCHEMES
from ocr_pipeline.settings.deployment import ObjectUri

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(?=//)|(https?|file|data):", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"([a-z][a-z0-9+-]+):", re.IGNORECASE)
_UNSENDABLE = re.compile(r"[^\x21-\x7e]+")
_QUOTES = {'"': '"', "'": "'", "<": ">", "\N{LEFT DOUBLE QUOTATION MARK}": "\N{RIGHT DOUBLE QUOTATION MARK}", "`": "`"}
_HOST_FIRST = re.compile(r"(?:www\.[\w.-]+|(?:[\w-]+\.)+\w{2,}/|localhost[:/]|\d+(?:\.\d+){3}[:/])", re.IGNORECASE)
_WINDOWS_DRIVE = re.compile(r"[a-z]:[\\/]", re.IGNORECASE)
_NOTHING = frozenset({"n/a", "na", "#n/a", "<na>", "nan", "null", "none"})
_SUPPORTED = "http:// and https:// URLs, s3:// and gs:// URIs, file:// URLs and paths are read"


@dataclass(frozen=True, slots=True)
class WebLink:
    """An absolute http(s) URL, as a client may request it."""

    url: URL


@dataclass(frozen=True, slots=True)
class FileLink:
    """An absolute path, links and ``..`` not yet resolved."""

    path: Path


@dataclass(frozen=True, slots=True)
class ObjectLink:
    """An object in a bucket."""

    uri: ObjectUri


Base = Path | URL | ObjectUri | None
"""Where relative links start: a folder, a URL that ends in ``/``, a prefix in a bucket, or nowhere."""


def parse_base(text: str) -> Base:
    """What a plan says relative links start from; None when it says nothing.

    :raises ValueError: when it is none of these.
    """
    if text.partition("://")[0] in STORE_SCHEMES:
        return ObjectUri.parse(text)
    if "://" in text:
        return URL(text)
    return Path(text) if text else None


def parse_link(link: str, base: Base) -> WebLink | ObjectLink | FileLink:
    """Tell what ``link`` is; a relative one is taken from ``base``.

    :raises ImageError: MISSING_LINK if there is none (:func:`is_missing`), INVALID_LINK if it is nothing that can be
        read.
    """
    link = _bare(link)
    if not link:
        raise ImageError(ErrorCategory.MISSING_LINK, "the image cell of this row is empty")
    if is_missing(link):
        detail = f"the image cell of this row says {link}, so there is no link; a file of that name would be ./{link}"
        raise ImageError(ErrorCategory.MISSING_LINK, detail)
    match = _SCHEME.match(link)
    scheme = (match[1] or match[2]).lower() if match else ""
    if scheme in ("http", "https"):
        return WebLink(parse_url(link))
    if scheme == "file":
        return FileLink(_file_url_path(link))
    if scheme in STORE_SCHEMES:
        return ObjectLink(_object_uri(link))
    if scheme:
        raise _unsupported(scheme)
    if isinstance(base, URL):
        return WebLink(parse_url(link, base))
    if isinstance(base, ObjectUri):
        key = posixpath.normpath(posixpath.join("/", base.key, link))
        return ObjectLink(replace(base, key=key.lstrip("/")))
    return FileLink(_path(link, base))


def is_missing(text: str) -> bool:
    """Whether a cell with ``text`` has no link: it is empty, or holds what programs write for nothing."""
    text = text.strip()
    return not text or text.lower() in _NOTHING


def host_name(link: str, base: Base) -> str:
    """What people call where ``link`` leads: a host and its port, a bucket; empty for files and what leads nowhere."""
    try:
        parsed = parse_link(link, base)
    except ImageError:
        return ""
    match parsed:
        case WebLink(url):
            return url.host_port_subcomponent or ""
        case ObjectLink(uri):
            return f"{uri.scheme}://{uri.bucket}"
    return ""


def parse_url(text: str, base: URL | None = None) -> URL:
    """The http(s) URL that ``text`` stands for, relative to ``base`` if given (as redirects may be).

    Path and query stay as they are written, since a signature may cover them; only what cannot be sent is escaped. A
    fragment is left out.

    :raises ImageError: INVALID_LINK if it is not one; the text itself is left out, as it may hold a password.
    """
    try:
        path, mark, query = text.partition("?")
        text = path.replace("\\", "/") + mark + query  # as browsers do
        parts = urlsplit(urljoin(str(base), text) if base else text)
        if parts.scheme not in ("http", "https"):
            raise ImageError(ErrorCategory.INVALID_LINK, f"{parts.scheme}: is neither http: nor https:")
        origin = URL(f"{parts.scheme}://{parts.netloc}")
        url = URL.build(
            scheme=origin.scheme,
            authority=origin.raw_authority,
            path=_sendable(parts.path) or "/",
            query_string=_sendable(parts.query),
            encoded=True,
        )
        host, port = url.host, url.port
    except (ValueError, TypeError) as error:  # what yarl raises, which is more than it documents
        raise ImageError(ErrorCategory.INVALID_LINK, f"not a valid URL ({_reason(error, text)})") from None
    if not (host or "").strip("."):
        raise ImageError(ErrorCategory.INVALID_LINK, f"the URL names no host, as in {url.scheme}://host/image.jpg")
    if not port:
        raise ImageError(ErrorCategory.INVALID_LINK, "port 0 cannot be connected to")
    return url


def redirect_target(url: URL, location: str) -> URL:
    """Where the answer to a request for ``url`` sends us; the credentials of ``url`` stay with its origin.

    :raises ImageError: INVALID_LINK if ``location`` is nothing to request.
    """
    target = parse_url(location, base=url).with_user(None)
    if url.user is not None and (target.scheme, target.host, target.port) == (url.scheme, url.host, url.port):
        target = target.with_user(url.user).with_password(url.password)
    return target


def _sendable(text: str) -> str:
    """``text`` with everything escaped that a request line cannot carry; bytes that are not UTF-8 as they came."""
    return _UNSENDABLE.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape")), text
    )


def _bare(link: str) -> str:
    """``link`` without what certainly does not belong to it: invisible characters and quotes around it."""
    bare = _strip_invisible(link)
    inside = bare
    while inside and (closing := _QUOTES.get(inside[0])):
        inside = _strip_invisible(inside[1:].removesuffix(closing))
    return inside if not inside or _SCHEME.match(inside) else bare


def _strip_invisible(text: str) -> str:
    start, stop = 0, len(text)
    while start < stop and _is_invisible(text[start]):
        start += 1
    while start < stop and _is_invisible(text[stop - 1]):
        stop -= 1
    return text[start:stop]


def _is_invisible(character: str) -> bool:
    # Unicode's separators, and its control and format characters, such as a byte order mark. A null byte is no mistake
    # that can be seen through.
    return character.isspace() or (character != "\0" and unicodedata.category(character) in ("Cc", "Cf"))


def _reason(error: Exception, text: str) -> str:
    """What ``error`` says, unless it quotes the URL, which may hold a password."""
    reason = str(error)
    return type(error).__name__ if "@" in text or len(reason) > 200 else reason


def _object_uri(link: str) -> ObjectUri:
    try:
        uri = ObjectUri.parse(link)
    except ValueError as error:
        raise ImageError(ErrorCategory.INVALID_LINK, f"not the URI of an object: {error}") from None
    if not uri.key:
        raise ImageError(ErrorCategory.INVALID_LINK, f"{uri} is a bucket; an image is an object in one")
    return uri


def _file_url_path(link: str) -> Path:
    try:
        parts = urlsplit(link)
    except ValueError:
        raise ImageError(ErrorCategory.INVALID_LINK, "not a valid file URL") from None
    if parts.netloc not in ("", "localhost"):
        raise ImageError(ErrorCategory.INVALID_LINK, "a file URL names no host: write file:///folder/image.jpg")
    if not parts.path.startswith("/"):
        raise ImageError(ErrorCategory.INVALID_LINK, "a file URL is absolute: write file:///folder/image.jpg")
    return Path(unquote(parts.path, errors="surrogateescape"))


def path_hint(link: str) -> str:
    """What to add to what is said of a path that may be something else; nothing, if it does not look like it."""
    link = _bare(link)
    if _HOST_FIRST.match(link):
        return "; if it is a web address, write https:// in front of it"
    if link.startswith("\\\\"):
        return "; it is a Windows share: write the folder of this machine in which it is mounted, and / between folders"
    if _WINDOWS_DRIVE.match(link):
        return "; it is a Windows path: write where the file lies on this machine, and / between folders"
    return "; it is written as on Windows: write / between folders, and not \\" if "\\" in link else ""


def no_such_file(link: str, missing: ImageError) -> ImageError:
    """What is said of ``link``, for which there is no file: that its scheme is not read, if it begins with one.

    A file may have such a name, so this is asked once it is known that none has.

    :param missing: what is said of it otherwise.
    """
    found = _OTHER_SCHEME.match(_bare(link))
    if found and not path_hint(link):
        return _unsupported(found[1].lower())
    return ImageError(missing.category, missing.detail + path_hint(link))


def _unsupported(scheme: str) -> ImageError:
    return ImageError(ErrorCategory.INVALID_LINK, f"{scheme}: links are not supported; {_SUPPORTED}")


def _path(link: str, base: Path | None) -> Path:
    if link.startswith("//"):
        raise ImageError(ErrorCategory.INVALID_LINK, "the link has no scheme; write https:// in front of the host")
    path = Path(link)
    if path.is_absolute():
        return path
    if base is None:
        raise ImageError(
            ErrorCategory.INVALID_LINK,
            f"a relative path, and this dataset has no folder it could start from; {_SUPPORTED}{path_hint(link)}",
        )
    return base / path
