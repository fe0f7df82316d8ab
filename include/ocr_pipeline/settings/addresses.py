"""What the setting ``dataset`` names, place by place, and how much of an address may be shown or stored.

An address may be a key to what lies there: by a login in front of its host, or by a signature among its parameters.
Whatever becomes a message, a line of a log or a file of a run goes through this module first.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from yarl import URL

from ocr_pipeline.settings.lists import read_list, write_list

STORE_SCHEMES = ("s3", "gs")
"""The object stores: Amazon S3 and what speaks like it, Google Cloud Storage."""

_BETWEEN = re.compile(r"\s*\n\s*|\s*,\s*(?=[/~]|[a-z][a-z0-9]*:)")
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:"
_PARTS = re.compile(rf"(?P<start>(?:sql:)?(?:{_SCHEME})?/*)(?P<authority>[^/?#]*)(?P<path>[^?#]*)", re.DOTALL)
_HOST = re.compile(r"(?:[^:]*|\[[^]]*\])(?::\d*)?")
_PARAMETERS = re.compile(r"\?[\w.-]+=[^/]*\Z")
_NO_ADDRESS = re.compile(rf"{_SCHEME}(?!//)")
_BEGINS = re.compile(rf"\s*{_SCHEME}//")
# Up to what may end a sentence or a quotation around it.
_INSIDE = re.compile(rf"{_SCHEME}//\S+?(?=['\"),.:;\]}}>]*(?:\s|\Z))")

# The cost of trying a password on what plan.json holds: about 16 MiB and 50 ms (RFC 7914; OWASP asks for as much).
_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1}
_SALT_BYTES = 16


def split_entries(dataset: str) -> list[str]:
    """The places that the setting names.

    They are a JSON list, or separated by line ends, or by commas before what begins a place.
    """
    return read_list(dataset) or [entry for entry in _BETWEEN.split(dataset.strip()) if entry]


def join_entries(entries: Sequence[str]) -> str:
    """The setting that :func:`split_entries` takes apart into ``entries``: a line each, where that is enough."""
    lines = "\n".join(entries)
    return lines if split_entries(lines) == list(entries) else write_list(entries)


def shown_address(address: str) -> str:
    """``address`` without what may be a key to it: its login, its parameters and its fragment.

    Paths stay as they are. So do keys of objects, in which ``?`` is no beginning of parameters but part of a glob, and
    the connection that opens a bucket, which is a name.
    """
    if address.startswith(("/", "~")) and not address.startswith("//"):
        return address
    parts = _PARTS.match(address)
    assert parts is not None, "every part may be empty"
    start, (login, at, host) = parts["start"], parts["authority"].rpartition("@")
    if not _HOST.fullmatch(host):
        return f"{start}…"  # a slash in a password, say: no part of it can be told from the rest
    if start.removesuffix("://").lower() not in STORE_SCHEMES:
        return f"{start}{host}{parts['path']}"
    connection = f"{login}{at}" if ":" not in login else ""
    return f"{start}{connection}{host}{_PARAMETERS.sub('', address[parts.end('authority') :])}"


def shown_dataset(dataset: str) -> str:
    """The setting ``dataset`` as it may be shown: each of its places by :func:`shown_address`."""
    entries = split_entries(dataset)
    shown = [shown_address(entry) for entry in entries]
    return dataset if shown == entries else join_entries(shown)


def shown_text(text: str) -> str:
    """``text`` that is not ours, such as a library's message or a cell, with the addresses in it as they may be shown.

    An address inside it is taken to end at white space; text that begins with one is taken for one as a whole when it
    has but one line.
    """
    if _BEGINS.match(text) and "\n" not in text:
        return shown_address(text.strip())
    return _INSIDE.sub(lambda found: shown_address(found[0]), text)


def shown_link(link: str) -> str:
    """A link of a dataset, absolute or not, as it may be shown: in one line, without logins, parameters and data."""
    link = " ".join(link.split())
    if scheme := _NO_ADDRESS.match(link):
        return f"{scheme[0]}…"
    return shown_address(shown_text(link)).partition("?")[0]


def shown_value(value: object) -> str:
    """``value`` as Python writes it, with the addresses in it as they may be shown."""
    return repr(shown_text(value)) if isinstance(value, str) else _INSIDE.sub(_shown_match, repr(value))


def _shown_match(found: re.Match[str]) -> str:
    return shown_address(found[0])


def dataset_seal(dataset: str) -> str:
    """What tells ``dataset`` from others that are shown like it, and nothing else; empty where all of it is shown."""
    if shown_dataset(dataset) == dataset:
        return ""
    salt = secrets.token_hex(_SALT_BYTES)
    return f"{salt}:{_digest(dataset, salt)}"


def fits_seal(dataset: str, seal: str) -> bool:
    """Whether ``seal`` is one of ``dataset``."""
    if not seal:
        return shown_dataset(dataset) == dataset
    salt, _, digest = seal.partition(":")
    return hmac.compare_digest(_digest(dataset, salt), digest)


def _digest(dataset: str, salt: str) -> str:
    return hashlib.scrypt(dataset.encode(), salt=salt.encode(), **_SCRYPT, dklen=32).hex()


def with_login(base: str, dataset: str) -> str:
    """``base``, where relative links start, with the login of the web address in ``dataset`` that it comes from.

    Without one, or where places have different ones, ``base`` stays as it is. A login goes to no other origin.
    """
    if not base.lower().startswith(("http://", "https://")):
        return base
    origin = URL(base).origin()
    urls = [URL(entry) for entry in split_entries(dataset)]
    logins = {(url.user, url.password) for url in urls if url.absolute and url.origin() == origin}
    user, password = logins.pop() if len(logins) == 1 else (None, None)
    return base if user is None else str(URL(base).with_user(user).with_password(password))
