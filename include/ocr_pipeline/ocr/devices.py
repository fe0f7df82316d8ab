"""What a run means by ``device``, in the words of each library, and whether it is there.

A GPU that was asked for and is not there is an error: going on with the processor would take a hundred times as
long without anyone knowing why.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocr_pipeline.errors import EngineError


def openvino_device(device: str, available: Sequence[str]) -> str:
    """``device`` as OpenVINO names it, such as ``GPU.1``, when it is among its ``available`` devices.

    :raises EngineError: when it is not, with what there is.
    """
    if device == "cpu":
        return "CPU"
    gpus = [name for name in available if name.partition(".")[0] == "GPU"]
    if gpu_number(device) >= len(gpus):
        raise EngineError(
            f"device {device}: OpenVINO, which drives GPUs of Intel only, found {_listed(available)}; "
            "choose another device or engine"
        )
    return gpus[gpu_number(device)]


def onnxruntime_providers(
    device: str, available: Sequence[str], *, exact: bool = False
) -> list[str | tuple[str, dict[str, int | str]]]:
    """``device`` as ONNX Runtime's execution providers, when they are among the ``available`` ones.

    :param exact: compute in float32, not in the shorter TensorFloat-32 that some GPUs take for it.
    :raises EngineError: when they are not, with what there is.
    """
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in available:
        raise EngineError(
            f"device {device}: ONNX Runtime has no CUDAExecutionProvider, it found {_listed(available)}; "
            "install onnxruntime-gpu in place of onnxruntime, or choose device cpu"
        )
    options: dict[str, int | str] = {
        "device_id": gpu_number(device),
        # Otherwise each new shape would have every convolution tried out with all of cuDNN's algorithms, for seconds.
        "cudnn_conv_algo_search": "HEURISTIC",
        # Memory grows by what a run needs, not to the next power of two: several tasks may share the GPU.
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": int(not exact),
    }
    return [("CUDAExecutionProvider", options)]


def check_cuda(device: str) -> None:
    """Load CUDA's libraries for ONNX Runtime, and see whether it can compute on the GPU ``device``.

    Without a driver or a card it would only warn, and compute on the processor.

    :raises EngineError: when it cannot.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    providers = onnxruntime_providers(device, onnxruntime.get_available_providers())
    onnxruntime.preload_dlls()  # where they are Python packages, of which the linker knows nothing
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=providers, enable_fallback=0)
        reason = "" if session.get_providers()[0] == providers[0][0] else "it went on with the processor"
    except Exception as error:  # ONNX Runtime's errors have no common base of their own
        reason = str(error)
    if reason:
        raise EngineError(f"device {device}: ONNX Runtime could not start CUDA on it; nvidia-smi lists GPUs ({reason})")


def gpu_number(device: str) -> int:
    """The number of the GPU that ``device`` names, such as 1 of ``gpu:1``."""
    return int(device.partition(":")[2] or 0)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "no device"
