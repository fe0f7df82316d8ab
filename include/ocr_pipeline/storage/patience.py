"""How long a store is waited for that does not do what it is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Times in seconds.

    A request may take ``request``, its body included. One that fails as in an outage is repeated until the store has
    done nothing for ``outage``: after ``pause`` at most, then after twice as long, and so on up to ``longest_pause``.
    """

    request: float = 30.0
    outage: float = 180.0
    pause: float = 0.5
    longest_pause: float = 10.0


PATIENCE = Patience()
"""An outage of two minutes is waited out, also when the store falls silent and each request waits for its end."""
