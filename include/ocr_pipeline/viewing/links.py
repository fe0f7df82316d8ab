"""Where the links of a dataset lead, for people who follow them."""

from __future__ import annotations

from yarl import URL


def web_address(link: str, base: str) -> str | None:
    """The address of the web page that ``link`` leads to, without a login; None if it leads to none.

    :param base: where relative links start, as the plan has it.
    """
    try:
        url = URL(link.strip())
        if not url.absolute and base.startswith(("http://", "https://")) and link.strip():
            url = URL(base).join(url)
        if url.scheme not in ("http", "https") or not url.host:
            return None
        return str(url.with_user(None))
    except (ValueError, TypeError):  # what yarl raises, which is more than it documents
        return None
