"""Keeping what was made of files that do not change, up to a limit."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

import pyarrow as pa

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


def on_local_disk(table: pa.Table) -> pa.Table | None:
    """``table`` in a file without a name, mapped into memory, of which it takes none; None where there is no room."""
    try:
        with tempfile.TemporaryFile() as file:
            with pa.ipc.new_file(file, table.schema) as writer:
                # As one, so that it is read as one; but for more than Arrow has offsets for.
                writer.write_table(table.combine_chunks() if table.nbytes < 1 << 30 else table)
            file.flush()
            with pa.memory_map(f"/dev/fd/{file.fileno()}") as content:
                return pa.ipc.open_file(content).read_all()
    except OSError:
        return None
