"""How one host is treated: so many requests at once and a second, fewer when it struggles, none when it is dead.

Each host and port has a limit of concurrent requests that halves when the host throttles, falls silent or slows, and
grows back by one a round of good answers (additive increase, multiplicative decrease, as in TCP), a time before
which it is not asked again (Retry-After, the rate), and a circuit breaker. The breaker opens when the host keeps
failing as a host, not over single images: then its links fail at once, except for one probe after a while that
closes it again or keeps it open for longer.
"""

from __future__ import annotations

from ocr_pipeline.fetch.retries import RetryPolicy

_SLOW_FACTOR = 3.0
"""An answer is slow that takes so many times as long as is usual for its host."""

_SLOW_ANSWERS = 4
"""So many slow answers in a row mean that the host is slow, and not single images."""

_USUAL_ANSWERS = 256
"""What is usual follows the last so many answers, roughly: a host that stays slow is not slow for ever."""


class Host:
    """The traffic with one host and port. Times are those of the event loop's clock.

    ``limit`` is the most requests at once, ``rate`` the most requests a second.
    """

    __slots__ = (
        "_cooldown",
        "_failing_since",
        "_failures",
        "_free_at",
        "_heard_at",
        "_interval",
        "_last_failure",
        "_limit",
        "_max_limit",
        "_not_before",
        "_open_until",
        "_opened_at",
        "_policy",
        "_slow_answers",
        "_slowed_at",
        "_usual",
        "in_flight",
    )

    def __init__(self, limit: int, rate: float | None, policy: RetryPolicy) -> None:
        self.in_flight = 0
        self._policy = policy
        self._max_limit = float(limit)
        self._limit = float(limit)
        self._interval = 1 / rate if rate else 0.0
        self._not_before = 0.0
        self._free_at = 0.0
        self._slowed_at = 0.0
        self._slow_answers = 0
        self._usual: float | None = None
        self._heard_at = 0.0
        self._failures = 0
        self._failing_since = 0.0
        self._last_failure = ""
        self._cooldown = policy.cooldown
        self._opened_at = 0.0
        self._open_until: float | None = None

    @property
    def like_new(self) -> bool:
        """Whether a new record would say the same: no request is under way, no trouble or rate to remember."""
        return not (self.in_flight or self._failures or self._interval) and self._limit == self._max_limit

    @property
    def full(self) -> bool:
        """Whether as many requests are under way as the host may have now."""
        return self.in_flight >= int(self._limit)

    @property
    def not_before(self) -> float:
        """When the next request may be sent at the earliest."""
        return self._not_before

    def unavailable(self, now: float) -> str | None:
        """Why the host is left alone, while its circuit is open."""
        if self._open_until is None or now >= self._open_until:
            return None
        return f"was left alone after failing {self._failures} times in a row, last with: {self._last_failure}"

    def begin(self, now: float) -> None:
        """A request is sent now. :meth:`leave` must follow."""
        self.in_flight += 1
        if self._interval:
            self._not_before = now + self._interval
        if self._open_until is not None:  # this request is the probe; until it tells, the circuit stays open
            self._open_until = now + self._cooldown

    def reserve(self, now: float) -> float:
        """Take the next place among the requests at the host's rate; gives the seconds from now until it is due.

        Turns come at that rate as well, so mostly this is now. But a turn may take more requests than one, as for a
        robots.txt, and wait for others, as for room, from which many of them come at once.
        """
        due = max(now, self._free_at)
        self._free_at = due + self._interval
        return due - now

    def leave(self) -> None:
        """A request that was begun is over, however it ended."""
        self.in_flight -= 1

    def answered(self, now: float, since: float = 0.0, waited: float | None = None) -> None:
        """The host answered as a host that works, whatever it said about the image.

        ``waited`` is how long it took to begin, for a request that began at ``since``; None does not count.
        """
        self._heard_at = now
        if self._failures:
            self._failures = 0
            self._open_until = None
            self._cooldown = self._policy.cooldown
        if waited is not None and self._slows(waited):
            self._slow_down(since, now)
        elif self._limit < self._max_limit:
            self._limit = min(self._max_limit, self._limit + 1 / self._limit)

    def _slows(self, waited: float) -> bool:
        """Whether the host, which let us wait for ``waited``, has become slow."""
        usual = waited if self._usual is None else self._usual
        self._usual = usual + (waited - usual) / _USUAL_ANSWERS
        if waited <= self._policy.slow_after or waited <= _SLOW_FACTOR * usual:
            self._slow_answers = 0
            return False
        self._slow_answers += 1
        return self._slow_answers >= _SLOW_ANSWERS

    def throttled(self, since: float, now: float, reason: str, pause: float) -> None:
        """The host asked for fewer requests and ``pause`` seconds of none; the request began at ``since``."""
        self._not_before = max(self._not_before, now + pause)
        if self._slow_down(since, now) and self._heard_at <= since:
            self._count_failure(since, now, reason)

    def failed(self, since: float, now: float, reason: str) -> None:
        """No answer came (no name, no connection, silence) to a request that began at ``since``.

        A host that has answered others in the meantime is well; this image may be at fault.
        """
        if self._heard_at <= since:
            self._slow_down(since, now)
            self._count_failure(since, now, reason)

    def _slow_down(self, since: float, now: float) -> bool:
        """Halve the limit, once a round: requests sent before it was last halved tell nothing new."""
        if since < self._slowed_at:
            return False
        self._limit = max(1.0, self._limit / 2)
        self._slowed_at = now
        return True

    def _count_failure(self, since: float, now: float, reason: str) -> None:
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        self._last_failure = reason
        if self._open_until is None:
            lasting = now - self._failing_since >= self._policy.seconds_to_open
            if self._failures < self._policy.failures_to_open or not lasting:
                return
        elif since <= self._opened_at:
            return  # not the probe, but a request from before the circuit opened
        else:
            self._cooldown = min(self._cooldown * 2, self._policy.max_cooldown)
        self._opened_at = now
        self._open_until = now + self._cooldown
