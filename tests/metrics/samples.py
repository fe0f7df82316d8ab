"""What a server of metrics was sent, whatever the protocol."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ocr_pipeline.metrics import Kind

Tags = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a metric; ``kind`` is None for what is neither counted nor a level, such as a duration."""

    name: str
    tags: Tags
    kind: Kind | None
    value: float


def last_values(samples: Iterable[Sample]) -> dict[tuple[str, Tags], tuple[Kind | None, float]]:
    """What a server has in the end, for each name and tags.

    :raises ValueError: when a metric is sent as two kinds.
    """
    found: dict[tuple[str, Tags], tuple[Kind | None, float]] = {}
    kinds: dict[str, Kind | None] = {}
    for sample in samples:
        if kinds.setdefault(sample.name, sample.kind) is not sample.kind:
            raise ValueError(f"{sample.name} is sent as {kinds[sample.name]} and as {sample.kind}")
        key = sample.name, sample.tags
        before = found[key][1] if key in found and sample.kind is Kind.COUNTER else 0.0
        found[key] = sample.kind, before + sample.value
    return found
