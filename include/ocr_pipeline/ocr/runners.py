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
from ocr_pipeline.ocr.cache import cached
from ocr_pipeline.ocr.devices import onnxruntime_providers, openvino_device
from ocr_pipeline.records import Pixels

Network = Callable[[Pixels], tuple[npt.NDArray[Any], ...]]
"""A loaded network: uint8 pixels of shape (n, height, width, 3) in, its outputs out. Thread-safe.

The outputs may be memory that the calling thread's next call overwrites. Raises RuntimeError when it fails.
"""


_CACHED_KERNELS = 300
"""Kernels that OpenVINO keeps of each kind, network and thread, each compiled for one shape.

It would keep 5,000, and resident memory would grow by megabytes with every new shape of page and line. This many
hold some tens of shapes; without any, reading a line costs half as much again (measured).
"""


class Runner(Protocol):
    """Loads networks onto the hardware."""

    name: str

    def load(self, graph: bytes) -> Network:
        """Compile ``graph``, a serialised ONNX model with one uint8 input."""
        ...


class OpenVinoRunner:
    """Intel's OpenVINO. By itself it computes in bfloat16 where the CPU does so natively.

    :param threads: how many threads will call the networks at once.
    :param device: as in the settings: ``cpu``, or ``gpu:0`` for the first GPU of Intel's.
    :param exact: compute in float32 everywhere.
    """

    name = "openvino"

    def __init__(self, threads: int, device: str = "cpu", *, exact: bool = False) -> None:
        try:
            import openvino
            from openvino import properties
        except ImportError as error:
            raise EngineError(f"engine openvino needs the package openvino: pip install openvino ({error})") from error
        # Threads that hand over arrays at the same moment, for the first time, can wait for each other for ever: one
        # initialises pybind11's interface to NumPy without the interpreter's lock, another waits for that with it.
        openvino.Tensor(np.zeros(1, np.uint8), shared_memory=True).element_type.to_dtype()
        self._version = openvino.get_version().encode()
        self._core = openvino.Core()
        self._device = openvino_device(device, self._core.available_devices)
        self._options: dict[Any, Any] = {properties.num_streams: threads}
        if exact:
            self._options[properties.hint.inference_precision] = "f32"
        if device == "cpu":
            self._options |= {
                properties.inference_num_threads: threads,
                # With pinning, a stream of one network may be tied to the core that another network's is using.
                properties.hint.enable_cpu_pinning: False,
                "CPU_RUNTIME_CACHE_CAPACITY": str(_CACHED_KERNELS),
            }

    def load(self, graph: bytes) -> Network:
        """See :class:`Runner`."""
        compiled = self._compile(graph)
        # Threads share the compiled network, each with a request of its own: a request holds one call's tensors.
        local = threading.local()

        def run(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
            if not hasattr(local, "request"):
                local.request = compiled.create_infer_request()
            results = local.request.infer([pixels], share_inputs=True, share_outputs=True)
            return tuple(results.values())

        return run

    def _compile(self, graph: bytes) -> Any:
        """Compile for this processor, or take what was compiled before from the cache."""

        def compile_network() -> Any:
            return self._core.compile_model(self._core.read_model(graph), self._device, self._options)

        if self._device != "CPU":
            return compile_network()
        capabilities = [
            self._core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
        ]
        key = [self._version, repr((capabilities, self._options)).encode(), graph]
        compiled = cached(key, lambda: compile_network().export_model().getvalue())
        return self._core.import_model(compiled, "CPU", self._options)


class OnnxRuntimeRunner:
    """ONNX Runtime.

    :param device: as in the settings: ``cpu``, or ``gpu:0`` for the first GPU that CUDA sees.
    """

    name = "onnxruntime"

    def __init__(self, device: str = "cpu") -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(
                f"engine onnxruntime needs the package onnxruntime: pip install onnxruntime ({error})"
            ) from error
        self._onnxruntime = onnxruntime
        self._device = device
        self._providers = onnxruntime_providers(device, onnxruntime.get_available_providers())

    def load(self, graph: bytes) -> Network:
        """See :class:`Runner`."""
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = self._onnxruntime.InferenceSession(graph, options, providers=self._providers)
        if self._device != "cpu" and session.get_providers()[0] == "CPUExecutionProvider":
            # Without a driver or a card, ONNX Runtime warns and computes on the processor.
            raise EngineError(f"device {self._device}: ONNX Runtime could not start CUDA on it; nvidia-smi lists GPUs")

        def run(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
            try:
                return tuple(np.asarray(output) for output in session.run(None, {"pixels": pixels}))
            except Exception as error:  # ONNX Runtime's errors have no common base of their own
                raise RuntimeError(str(error)) from error

        return run
