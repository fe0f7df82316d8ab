"""Numbers as people read them."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share: ``100 %`` and ``0 %`` only where it is all or nothing."""
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    if share < 0.01:
        return "under 1 %"
    return "over 99 %" if share > 0.99 else f"{share * 100:.0f} %"


def duration(seconds: float) -> str:
    """A time in its two largest units, the second only where it is not 0."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    units = (("s", 60), ("min", 60), ("h", 24), ("d", 365), ("y", None))
    count, rest, unit = round(seconds), 0, ""
    for name, most in units:
        smaller, unit = unit, name
        if most is None or count < most:
            break
        count, rest = divmod(count, most)
    return f"{count} {unit} {rest} {smaller}" if rest else f"{count} {unit}"


def size(count: int) -> str:
    """Bytes, in steps of 1,000."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 100 or unit == "bytes" else f"{value:.3g} {unit}"


def rate(images_per_second: float) -> str:
    """Images a second."""
    return f"{images_per_second:,.0f}" if images_per_second >= 100 else f"{images_per_second:.3g}"
