"""What runs a network on some hardware, and what a network is once it is loaded: where our engines differ.

A runner knows nothing of text: it takes a graph from :mod:`ocr_pipeline.ocr.networks` and returns a callable
that any number of threads may use at once. On a processor each call runs on one core, so that n threads fill n cores
without getting in each other's way; on a GPU the calls of all threads run together
(:class:`ocr_pipeline.ocr.batching.Batched`). There is a module for each: :mod:`ocr_pipeline.ocr.openvino`,
:mod:`ocr_pipeline.ocr.onnxruntime` and :mod:`ocr_pipeline.ocr.paddle`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from ocr_pipeline.records import Pixels

Shape = tuple[int, ...]
"""Of an array: (n, height, width, 3)."""

Network = Callable[[Pixels], tuple[npt.NDArray[Any], ...]]
"""A loaded network: uint8 pixels of shape (n, height, width, 3) in, its outputs out. Thread-safe.

The outputs may be memory that the calling thread's next call overwrites. Raises RuntimeError when it fails.
"""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The two networks of a model, ready to run; see :mod:`ocr_pipeline.ocr.networks` for what goes in and comes out.

    ``name`` is that of the engine and the model, ``characters[c]`` the text of the recogniser's class c. ``batching``
    says that calls run together: give them many rows at a time and few different shapes.
    """

    name: str
    detect: Network
    recognise: Network
    characters: tuple[str, ...]
    batching: bool


class Runner(Protocol):
    """Loads networks onto the hardware.

    ``batching`` says that calls run together: give it many rows at a time and few different shapes. ``eight_bit`` says
    that it is faster with networks that were quantised, and may be less exact.
    """

    name: str
    batching: bool
    eight_bit: bool

    def load(self, graph: bytes, most_pixels: int = 1 << 20, own_shapes: Sequence[Shape] = ()) -> Network:
        """Compile ``graph``, a serialised ONNX model with one uint8 input.

        :param most_pixels: of a run, where calls run together: what bounds its memory.
        :param own_shapes: those that come often; it is compiled for each of them alone, where that helps.
        """
        ...
