"""Devices: what is asked for is what runs, or an error says what there is.

No test here runs on a GPU; what is tested is that a machine without one does not quietly do without.
"""

from __future__ import annotations

import pytest

from ocr_pipeline.errors import EngineError
from ocr_pipeline.ocr import load_engine
from ocr_pipeline.ocr.devices import onnxruntime_providers, openvino_device
from ocr_pipeline.settings.run import ReadSettings


@pytest.mark.parametrize(
    ("device", "available", "named"),
    [
        ("cpu", ["CPU"], "CPU"),
        ("cpu", ["CPU", "GPU"], "CPU"),
        ("gpu", ["CPU", "GPU"], "GPU"),
        ("gpu:0", ["CPU", "GPU"], "GPU"),
        ("gpu", ["CPU", "GPU.0", "GPU.1", "NPU"], "GPU.0"),
        ("gpu:1", ["CPU", "GPU.0", "GPU.1"], "GPU.1"),
    ],
)
def test_a_device_as_openvino_names_it(device: str, available: list[str], named: str) -> None:
    assert openvino_device(device, available) == named


@pytest.mark.parametrize(
    ("device", "available", "found"),
    [("gpu", ["CPU"], "found CPU;"), ("gpu:1", ["CPU", "GPU"], "found CPU, GPU;"), ("gpu", [], "found no device;")],
)
def test_a_gpu_that_openvino_has_not_is_refused_with_what_it_has(device: str, available: list[str], found: str) -> None:
    with pytest.raises(EngineError, match=f"device {device}: OpenVINO, .* {found}"):
        openvino_device(device, available)


def cuda_options(providers: list[str | tuple[str, dict[str, int | str]]]) -> dict[str, int | str]:
    """The options of CUDA, which must be the only provider."""
    (provider,) = providers
    assert isinstance(provider, tuple)
    assert provider[0] == "CUDAExecutionProvider"
    return provider[1]


def test_a_device_as_onnx_runtime_names_it() -> None:
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert onnxruntime_providers("cpu", both) == ["CPUExecutionProvider"]
    for device, number in (("gpu", 0), ("gpu:3", 3)):
        options = cuda_options(onnxruntime_providers(device, both))
        assert options["device_id"] == number
        assert options["use_tf32"] == 1
    assert cuda_options(onnxruntime_providers("gpu", both, exact=True))["use_tf32"] == 0
    with pytest.raises(EngineError, match="found CPUExecutionProvider; install onnxruntime-gpu"):
        onnxruntime_providers("gpu", ["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("openvino", "device gpu:7: OpenVINO, .* found .*CPU"),
        ("onnxruntime", "device gpu:7: ONNX Runtime"),
        ("auto", r"device gpu:7: ONNX Runtime .*; device gpu:7: OpenVINO"),
        ("paddleocr", "(?s)gpu:7.*CUDA"),
    ],
)
def test_no_engine_goes_on_without_the_gpu_it_was_asked_for(engine: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        load_engine(ReadSettings.model_validate({"engine": engine, "device": "gpu:7", "threads": 1}))


@pytest.mark.parametrize("engine", ["onnxruntime", "paddleocr"])
def test_cuda_that_does_not_start_is_an_error(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As with onnxruntime-gpu where there is no driver: CUDA is listed, and then left out with a warning.
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: both)

    with pytest.raises(EngineError, match="device gpu: ONNX Runtime could not start CUDA"):
        load_engine(ReadSettings.model_validate({"engine": engine, "device": "gpu", "threads": 1}))
