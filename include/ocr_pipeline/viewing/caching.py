"""Keeping what was made of files that do not change, in limited memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """The values that were used last, up to a size in all. Thread-safe.

    :param size: how much is kept, in the unit of the values' sizes.
    """

    def __init__(self, size: int) -> None:
        self._room = size
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """What was put there last; None when it is not kept any more."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Key, value: Value, size: int = 1) -> None:
        """Keep ``value``, and let go of what was not used for longest."""
        with self._lock:
            if key in self._values:
                self._room += self._values.pop(key)[1]
            self._values[key] = value, size
            self._room -= size
            while self._room < 0 and self._values:
                self._room += self._values.popitem(last=False)[1][1]
