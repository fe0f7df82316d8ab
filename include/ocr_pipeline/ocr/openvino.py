"""Networks on Intel's OpenVINO."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from ocr_pipeline.errors import EngineError
from ocr_pipeline.ocr.batching import Batched
from ocr_pipeline.ocr.cache import cached
from ocr_pipeline.ocr.devices import openvino_device
from ocr_pipeline.ocr.inference import Network, Shape
from ocr_pipeline.records import Pixels

_CACHED_KERNELS = 300
"""Kernels that OpenVINO keeps of each kind, network and thread, each compiled for one shape.

It would keep 5,000, and resident memory would grow by megabytes with every new shape of page and line. This many
hold some tens of shapes; without any, reading a line costs half as much again (measured).
"""


class OpenVinoRunner:
    """Intel's OpenVINO. By itself it computes in bfloat16 where the CPU does so natively.

    Each thread that calls a network computes in itself, on one core, with a copy of its own that has no streams. Of one
    copy with several, OpenVINO computes in threads of its own: those of several networks are handed from core to core,
    and a fifth of the cores' time was idle (measured).

    :param threads: how many to compute in where calls run together.
    :param device: as in the settings: ``cpu``, or ``gpu:0`` for the first GPU of Intel's.
    :param exact: compute in float32 everywhere.
    :param batching: whether calls run together; they do on a GPU.
    """

    name = "openvino"

    def __init__(self, threads: int, device: str = "cpu", *, exact: bool = False, batching: bool | None = None) -> None:
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
        self.batching = device != "cpu" if batching is None else batching
        self.eight_bit = device == "cpu" and not exact  # a GPU computes in half precision
        self._options: dict[Any, Any] = {properties.num_streams: 1 if self.batching else 0}
        if exact:
            self._options[properties.hint.inference_precision] = "f32"
        if device == "cpu":
            self._options |= {
                properties.inference_num_threads: threads if self.batching else 1,
                # With pinning, one thread may be tied to the core that another is using.
                properties.hint.enable_cpu_pinning: False,
                "CPU_RUNTIME_CACHE_CAPACITY": str(_CACHED_KERNELS),
            }

    def load(self, graph: bytes, most_pixels: int = 1 << 20, own_shapes: Sequence[Shape] = ()) -> Network:
        """See :class:`~ocr_pipeline.ocr.inference.Runner`."""
        # Where calls run together, one at a time, one request is enough; its shapes are few and large as it is.
        if self.batching:
            return Batched(_OpenVinoNetwork(partial(self._compile, graph), (), SimpleNamespace()), most_pixels)
        return _OpenVinoNetwork(partial(self._compile, graph), own_shapes, threading.local())

    def _compile(self, graph: bytes, shape: Shape | None) -> Any:
        """Compile for this processor, for one shape or any, or take what was compiled before from the cache."""

        def compile_network() -> Any:
            model = self._core.read_model(graph)
            if shape is not None:
                model.reshape(list(shape))
            return self._core.compile_model(model, self._device, self._options)

        if self._device != "CPU":
            return compile_network()
        capabilities = [
            self._core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
        ]
        key = [self._version, repr((capabilities, self._options, shape)).encode(), graph]
        compiled = None

        def export() -> bytes:
            nonlocal compiled
            compiled = compile_network()
            exported: bytes = compiled.export_model().getvalue()
            return exported

        exported = cached(key, export)
        return self._core.import_model(exported, "CPU", self._options) if compiled is None else compiled


class _OpenVinoNetwork:
    """A network compiled for any shape, and for some shapes alone. A :data:`~ocr_pipeline.ocr.inference.Network`.

    With a shape that is known beforehand, OpenVINO plans memory and kernels once instead of whenever the shape changes:
    lines take a third less time (measured). Each takes a tenth of a second and tens of megabytes when a thread
    first needs it, more when it is not in the cache. Which one computes depends on nothing but the shape, because they
    round differently.

    :param compile_for: compiles for a shape, or any.
    :param own_shapes: those to compile for alone.
    :param local: holds the requests of the calling thread: a request holds one call's tensors.
    """

    def __init__(self, compile_for: Callable[[Shape | None], Any], own_shapes: Sequence[Shape], local: Any) -> None:
        self._compile_for = compile_for
        self._unused = [compile_for(None)]  # what is wrong with it shows now
        # What one thread compiles is in the cache for the next.
        self._compiling = {shape: threading.Lock() for shape in (None, *own_shapes)}
        self._local = local

    def __call__(self, pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        results = self._request(pixels.shape).infer([pixels], share_inputs=True, share_outputs=True)
        return tuple(results.values())

    def _request(self, shape: Shape) -> Any:
        if not hasattr(self._local, "requests"):
            self._local.requests = {}
        requests: dict[Shape | None, Any] = self._local.requests
        key = shape if shape in self._compiling else None
        if key not in requests:
            requests[key] = self._compiled(key).create_infer_request()
        return requests[key]

    def _compiled(self, key: Shape | None) -> Any:
        with self._compiling[key]:
            return self._unused.pop() if key is None and self._unused else self._compile_for(key)
