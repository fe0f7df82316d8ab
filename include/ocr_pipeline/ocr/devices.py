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
    if _number(device) >= len(gpus):
        raise EngineError(
            f"device {device}: OpenVINO, which drives GPUs of Intel only, found {_listed(available)}; "
            "choose another device or engine"
        )
    return gpus[_number(device)]


def onnxruntime_providers(device: str, available: Sequence[str]) -> list[str | tuple[str, dict[str, int]]]:
    """``device`` as ONNX Runtime's execution providers, when they are among the ``available`` ones.

    :raises EngineError: when they are not, with what there is.
    """
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in available:
        raise EngineError(
            f"device {device}: ONNX Runtime has no CUDAExecutionProvider, it found {_listed(available)}; "
            "install onnxruntime-gpu in place of onnxruntime, or choose device cpu"
        )
    return [("CUDAExecutionProvider", {"device_id": _number(device)})]


def _number(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "no device"
