"""Networks on ONNX Runtime."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ocr_pipeline.errors import EngineError
from ocr_pipeline.ocr.batching import Batched
from ocr_pipeline.ocr.devices import check_cuda, onnxruntime_providers
from ocr_pipeline.ocr.inference import Network, Shape
from ocr_pipeline.ocr.precision import half_precision
from ocr_pipeline.records import Pixels

_SESSIONS = 32
"""Sessions that ONNX Runtime keeps of each network on a GPU, each with its own copy of the weights and its memory."""


class OnnxRuntimeRunner:
    """ONNX Runtime. On a GPU it computes in half precision.

    :param device: as in the settings: ``cpu``, or ``gpu:0`` for the first GPU that CUDA sees.
    :param exact: compute in float32 everywhere.
    :param batching: whether calls run together; they do on a GPU.
    """

    name = "onnxruntime"
    eight_bit = False  # a line takes it a seventh longer then than in float32 (measured)

    def __init__(self, device: str = "cpu", *, exact: bool = False, batching: bool | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(
                f"engine onnxruntime needs the package onnxruntime: pip install onnxruntime ({error})"
            ) from error
        self._onnxruntime = onnxruntime
        self.batching = device != "cpu" if batching is None else batching
        self._half = device != "cpu" and not exact
        self._providers = onnxruntime_providers(device, onnxruntime.get_available_providers(), exact=exact)
        if device != "cpu":
            check_cuda(device)

    def load(self, graph: bytes, most_pixels: int = 1 << 20, own_shapes: Sequence[Shape] = ()) -> Network:
        """See :class:`~ocr_pipeline.ocr.inference.Runner`."""
        compiled = half_precision(graph) if self._half else graph

        # CUDA's convolutions are planned anew whenever the shape is not that of the run before, for as long as many
        # runs take (ONNX Runtime since 1.20): so each of the few shapes gets a session of its own.
        @functools.lru_cache(_SESSIONS)
        def session(shape: Shape) -> Any:
            return self._session(compiled)

        session(())  # what is wrong with the device or the graph shows now

        def run(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
            try:
                outputs = session(pixels.shape if self.batching else ()).run(None, {"pixels": pixels})
                return tuple(np.asarray(output) for output in outputs)
            except Exception as error:  # ONNX Runtime's errors have no common base of their own
                raise RuntimeError(str(error)) from error

        return Batched(run, most_pixels) if self.batching else run

    def _session(self, graph: bytes) -> Any:
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        return self._onnxruntime.InferenceSession(
            graph,
            options,
            providers=self._providers,
            enable_fallback=0,  # otherwise a session that fails on a GPU would go on with the processor
        )
