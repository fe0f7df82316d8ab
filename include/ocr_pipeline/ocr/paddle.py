"""Paddle Inference, for models in Paddle's own format.

It runs them as they are published. What surrounds them (normalising pixels, choosing the best class, leaving
characters out) is done here in NumPy, for a hundredth of the time of a network (measured).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ocr_pipeline.errors import EngineError
from ocr_pipeline.ocr.batching import Batched
from ocr_pipeline.ocr.detection import BATCH_PIXELS as DETECTION_PIXELS
from ocr_pipeline.ocr.devices import gpu_number
from ocr_pipeline.ocr.extras import paddle_missing
from ocr_pipeline.ocr.inference import LoadedModel
from ocr_pipeline.ocr.models import Model, official_dictionary
from ocr_pipeline.ocr.networks import (
    BLANK,
    DETECTION,
    RECOGNITION,
    Normalisation,
    check_dictionary,
    kept_classes,
)
from ocr_pipeline.ocr.recognition import BATCH_PIXELS as RECOGNITION_PIXELS
from ocr_pipeline.ocr.recognition import HEIGHT
from ocr_pipeline.ocr.steps import choose
from ocr_pipeline.records import Pixels
from ocr_pipeline.settings.languages import alphabet

Floats = npt.NDArray[np.float32]

_CACHED_SHAPES = 1
"""Input shapes for which each thread keeps everything that a run needed, memory included. Not 0, which is no bound."""

_CACHED_PRIMITIVES = "4096"
"""Operations that oneDNN keeps, for all threads, each compiled for one shape: those of some tens of shapes.

By itself it would keep 1,024. With lines of fourteen widths in turn, nearly all would be compiled anew each time, which
takes as long again as computing; so do more shapes a thread, but these cost a hundred megabytes each (measured).
"""

_FIRST_GPU_MEGABYTES = 100
"""Memory that a predictor takes on a GPU at once; it takes more when it needs it. PaddleX's value."""


def load_paddle(
    model: Model, languages: Sequence[str], device: str = "cpu", *, batching: bool | None = None
) -> LoadedModel:
    """Load ``model``, whose files are in Paddle's own format. Everything is computed in float32.

    :param languages: those to be read; the classes of other characters are left out. Empty: every character.
    :param device: as in the settings: ``cpu``, or ``gpu:0`` for the first GPU that CUDA sees.
    :param batching: whether calls run together; they do on a GPU.
    :raises EngineError: when Paddle is not installed, has no such device, or cannot load the model.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", _CACHED_PRIMITIVES)  # read at the first run
    import_paddle(device)
    detection = _Program(model.detection, device, DETECTION)
    recognition = _Program(model.recognition, device, RECOGNITION)
    characters = _characters(model.recognition, recognition)
    kept = kept_classes(characters, alphabet(languages)) if languages else None
    read = characters if kept is None else tuple(characters[c] for c in kept)
    together = device != "cpu" if batching is None else batching

    def detect(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        return (detection(pixels),)

    def recognise(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        return choose(among(recognition(pixels), kept), read)

    return LoadedModel(
        f"paddle/{model.name}",
        Batched(detect, DETECTION_PIXELS) if together else detect,
        Batched(recognise, RECOGNITION_PIXELS) if together else recognise,
        read,
        together,
    )


def import_paddle(device: str) -> Any:
    """Import Paddle, without the signal handlers that it installs, and check that it has ``device``.

    :raises EngineError: when it is not installed or has not.
    """
    try:
        import paddle
        import paddle.inference
    except ImportError as error:
        raise paddle_missing("a model in Paddle's own format", "paddlepaddle", error) from error
    paddle.disable_signal_handler()  # otherwise a task that is told to stop would end with a stack trace instead
    found = paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0
    if device != "cpu" and gpu_number(device) >= found:
        raise EngineError(
            f"device {device}: Paddle {paddle.version.full_version} found {found} GPUs; "
            "GPUs need the package paddlepaddle-gpu in place of paddlepaddle"
        )
    return paddle


def normalised(pixels: Pixels, statistics: Normalisation) -> Floats:
    """``pixels``, uint8 (n, h, w, 3), as networks were trained on them: float32 (n, 3, h, w)."""
    count, height, width, channels = pixels.shape
    result = np.empty((count, channels, height, width), np.float32)
    for channel in range(channels):  # several times as fast as all at once, which would go through memory unevenly
        np.subtract(pixels[..., channel], statistics.mean[channel], out=result[:, channel])
        result[:, channel] *= 1 / statistics.deviation[channel]
    return result


def among(probabilities: Floats, kept: Sequence[int] | None) -> Floats:
    """The ``probabilities`` of the ``kept`` classes, or of all, (n, steps, classes).

    Those that are kept add up to 1 again, as if the network had no others.
    """
    if kept is None:
        return probabilities
    probabilities = np.take(probabilities, kept, axis=-1)
    # Not a division by 0 where all of them are too small for a number.
    probabilities /= np.maximum(probabilities.sum(axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    return probabilities


class _Program:
    """A network in Paddle's own format, which any number of threads may call: uint8 (n, h, w, 3) in, its output out.

    What executes it is a predictor. Two threads that use one at once get wrong results without an error, and a copy
    (``clone``) fails with the program format of Paddle 3. So there are as many as calls were under way at once; which
    thread uses one does not matter.
    """

    def __init__(self, path: Path, device: str, statistics: Normalisation) -> None:
        self._path = path
        self._device = device
        self._statistics = statistics
        self._free = [self._predictor()]  # what is wrong with it shows now

    def __call__(self, pixels: Pixels) -> Floats:
        try:
            values = normalised(pixels, self._statistics)
            try:
                predictor = self._free.pop()
            except IndexError:
                predictor = self._predictor()
            predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(values)
            predictor.run()
            (name,) = predictor.get_output_names()
            output: Floats = predictor.get_output_handle(name).copy_to_cpu()
        except Exception as error:  # Paddle's errors have no common base of their own
            raise RuntimeError(f"Paddle: {error}") from error
        self._free.append(predictor)  # not after an error: nothing is known of its state then
        return output

    def _predictor(self) -> Any:
        from paddle import inference

        config = inference.Config(str(self._path), str(self._path.with_suffix(".pdiparams")))
        if self._device == "cpu":
            config.disable_gpu()
            config.enable_mkldnn()
            config.set_mkldnn_cache_capacity(_CACHED_SHAPES)
            config.set_cpu_math_library_num_threads(1)
        else:
            config.disable_mkldnn()
            config.enable_use_gpu(_FIRST_GPU_MEGABYTES, gpu_number(self._device))
        config.enable_new_ir(True)
        config.enable_new_executor(True)
        config.enable_memory_optim()
        config.disable_glog_info()
        return inference.create_predictor(config)


def _characters(path: Path, recognition: _Program) -> tuple[str, ...]:
    """The text of each class of the recogniser at ``path``, from the ``inference.yml`` beside it."""
    characters = (BLANK, *official_dictionary(path.with_name("inference.yml")), " ")
    classes = recognition(np.zeros((1, HEIGHT, HEIGHT, 3), np.uint8)).shape[-1]
    check_dictionary(path, classes, characters)
    return characters
