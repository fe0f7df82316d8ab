"""Runners execute a network on some hardware; this is all that differs between our engines.

A runner knows nothing of text: it takes a graph from :mod:`ocr_pipeline.ocr.networks` and returns a callable
that any number of threads may use at once. Each call runs on one core, so that n threads fill n cores without
getting in each other's way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ocr_pipeline.errors import EngineError
from ocr_pipeline.records import Pixels

Network = Callable[[Pixels], tuple[npt.NDArray[Any], ...]]
"""A loaded network: uint8 pixels of shape (n, height, width, 3) in, its outputs out. Thread-safe.

The outputs may be memory that the calling thread's next call overwrites. Raises RuntimeError when it fails.
"""


class Runner(Protocol):
    """Loads networks onto the hardware."""

    name: str

    def load(self, graph: bytes) -> Network:
        """Compile ``graph``, a serialised ONNX model with one uint8 input."""
        ...


class OpenVinoRunner:
    """Intel's OpenVINO on the CPU. By itself it computes in bfloat16 where the CPU does so natively.

    :param threads: how many threads will call the networks at once.
    """

    name = "openvino"

    def __init__(self, threads: int) -> None:
        try:
            import openvino
            from openvino import properties
        except ImportError as error:
            raise EngineError(f"engine openvino needs the package openvino: pip install openvino ({error})") from error
        self._core = openvino.Core()
        self._options = {
            properties.inference_num_threads: threads,
            properties.num_streams: threads,
            # With pinning, a stream of one network may be tied to the core that another network's is using.
            properties.hint.enable_cpu_pinning: False,
        }

    def load(self, graph: bytes) -> Network:
        """See :class:`Runner`."""
        compiled = self._core.compile_model(self._core.read_model(graph), "CPU", self._options)
        # Threads share the compiled network, each with a request of its own: a request holds one call's tensors.
        local = threading.local()

        def run(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
            if not hasattr(local, "request"):
                local.request = compiled.create_infer_request()
            results = local.request.infer([pixels], share_inputs=True, share_outputs=True)
            return tuple(results.values())

        return run


class OnnxRuntimeRunner:
    """ONNX Runtime on the CPU."""

    name = "onnxruntime"

    def __init__(self) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(
                f"engine onnxruntime needs the package onnxruntime: pip install onnxruntime ({error})"
            ) from error
        self._onnxruntime = onnxruntime

    def load(self, graph: bytes) -> Network:
        """See :class:`Runner`."""
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = self._onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

        def run(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
            try:
                return tuple(np.asarray(output) for output in session.run(None, {"pixels": pixels}))
            except Exception as error:  # ONNX Runtime's errors have no common base of their own
                raise RuntimeError(str(error)) from error

        return run
