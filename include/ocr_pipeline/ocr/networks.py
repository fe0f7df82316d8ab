"""The two PP-OCR networks, made ready for throughput by editing their ONNX graphs.

Both get the same front: uint8 pixels of shape (batch, height, width, 3) go in as they lie in memory and the
graph normalises them. The recogniser also gets a new end: instead of a probability for each of 18,710 classes
at every step, which costs more to move and search than to compute, it returns what :mod:`ocr_pipeline.ocr.steps` says.
Every runner executes the same edited ends, so they cannot disagree about these steps.

How the networks themselves are computed is edited as well: see :mod:`ocr_pipeline.ocr.subpixels`, which changes no
result, and :mod:`ocr_pipeline.ocr.quantization`, which does where exactness is not asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ocr_pipeline.errors import EngineError
from ocr_pipeline.ocr import graphs, quantization, steps, subpixels
from ocr_pipeline.ocr.cache import cached
from ocr_pipeline.ocr.graphs import constants, load_graph, store, tensor
from ocr_pipeline.ocr.models import official_dictionary
from ocr_pipeline.ocr.quantization import RANGES, known_ranges, quantise
from ocr_pipeline.ocr.steps import plain_classes, space_class
from ocr_pipeline.ocr.subpixels import put_off_upsampling
from ocr_pipeline.settings import languages as alphabets
from ocr_pipeline.settings.languages import alphabet

if TYPE_CHECKING:
    import onnx

BLANK = ""
"""The character of class 0, the CTC blank."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What networks want of a pixel: (pixel - mean) / deviation, for blue, green and red, in units of 0 to 255."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


# PP-OCR applies ImageNet's statistics, listed for red, green, blue, to blue, green, red
# (NormalizeImage in PaddleX, with img_mode BGR).
DETECTION = Normalisation((255 * 0.485, 255 * 0.456, 255 * 0.406), (255 * 0.229, 255 * 0.224, 255 * 0.225))
RECOGNITION = Normalisation((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


@dataclass(frozen=True, slots=True)
class DetectionNetwork:
    """Finds text. Input uint8 (n, h, w, 3) BGR, h and w multiples of 32; output float32 (n, 1, h, w) in 0 to 1."""

    graph: bytes


@dataclass(frozen=True, slots=True)
class RecognitionNetwork:
    """Reads lines.

    Input uint8 (n, 48, w, 3) BGR, w a multiple of 8. Outputs, for each of w / 8 steps, as
    :mod:`ocr_pipeline.ocr.steps` has them. ``characters[c]`` is the text of class c.
    """

    graph: bytes
    characters: tuple[str, ...]


def detection_network(path: Path) -> DetectionNetwork:
    """Load the detector at ``path`` (PP-OCR, ONNX).

    :raises EngineError: when the file is not such a model.
    """
    model = load_graph(path)
    put_off_upsampling(model)
    _prepend_normalisation(model, (None, None, None, 3), DETECTION)
    return DetectionNetwork(model.SerializeToString())


def recognition_network(
    path: Path, keep: Callable[[str], bool] | None = None, *, exact: bool = False
) -> RecognitionNetwork:
    """Load the recogniser at ``path`` (PP-OCR, ONNX).

    Its dictionary is in the metadata key ``character``, or in the ``inference.yml`` beside it.

    :param keep: says which characters may be read; the classes of all others are cut out of the last layer.
    :param exact: compute everything as the model does, also what is as good and faster in 8 bits.

    :raises EngineError: when the file is not such a model.
    """
    model = load_graph(path)
    characters = (BLANK, *_dictionary(model, path), " ")
    weights, bias = _last_layer(model, path)
    check_dictionary(path, tensor(model, bias).shape[-1], characters)
    if keep is not None:
        kept = kept_classes(characters, keep)
        for name in (weights, bias):
            store(model, name, tensor(model, name)[..., kept])
        del model.graph.value_info[:]  # shapes noted for the layers in between, which no longer hold
        characters = tuple(characters[c] for c in kept)
    if not exact:
        quantise(model, known_ranges(path))
    _append_choices(model, characters)
    _prepend_normalisation(model, (None, 48, None, 3), RECOGNITION)
    return RecognitionNetwork(model.SerializeToString(), characters)


def check_dictionary(path: Path, classes: int, characters: Sequence[str]) -> None:
    """Check that the recogniser at ``path``, which has so many classes, has a character for each.

    :raises EngineError: when it has not.
    """
    if classes != len(characters):
        raise EngineError(
            f"{path} has {classes} classes but a dictionary of {len(characters) - 2} characters "
            "(blank and space are added): the model file and its dictionary do not belong together"
        )


def kept_classes(characters: Sequence[str], keep: Callable[[str], bool]) -> list[int]:
    """The classes that remain when only characters may be read that ``keep`` wants: those, and the blank."""
    return [c for c, text in enumerate(characters) if text == BLANK or keep(text)]


def cached_detection_network(path: Path) -> DetectionNetwork:
    """As :func:`detection_network`, edited once for all processes."""
    return DetectionNetwork(cached(_key(b"detection", path), lambda: detection_network(path).graph))


def cached_recognition_network(path: Path, languages: Sequence[str], *, exact: bool = False) -> RecognitionNetwork:
    """As :func:`recognition_network`, edited once for all processes; it reads ``languages``, or everything."""

    def edit() -> bytes:
        network = recognition_network(path, alphabet(languages) if languages else None, exact=exact)
        return json.dumps(network.characters).encode() + b"\n" + network.graph

    characters, _, graph = cached(_key(repr((sorted(languages), exact)).encode(), path), edit).partition(b"\n")
    return RecognitionNetwork(graph, tuple(json.loads(characters)))


def _key(purpose: bytes, path: Path) -> list[bytes]:
    """Everything that an edited graph depends on: the files it is made from, and the code that makes it."""
    code = (graphs, quantization, steps, subpixels, alphabets)
    files = (
        path,
        path.with_name("inference.yml"),
        Path(__file__),
        RANGES,
        *(Path(str(module.__file__)) for module in code),
    )
    return [purpose, *(file.read_bytes() if file.is_file() else b"" for file in files)]


def dictionary(path: Path) -> list[str]:
    """The characters that the recogniser at ``path`` knows, in the order of its classes, without blank and space.

    :raises EngineError: when the file is not a PP-OCR recogniser.
    """
    return _dictionary(load_graph(path), path)


def _dictionary(model: onnx.ModelProto, path: Path) -> list[str]:
    metadata: dict[str, str] = {item.key: item.value for item in model.metadata_props}
    if "character" not in metadata:
        # Official folders have it beside the network.
        config = path.with_name("inference.yml")
        if not config.is_file():
            raise EngineError(
                f"{path} carries no dictionary: there is neither a metadata key 'character' nor {config.name} beside it"
            )
        return official_dictionary(config)
    # One character a line. Not splitlines(), which would also split at characters of the dictionary.
    return metadata["character"].split("\n")


def _prepend_normalisation(
    model: onnx.ModelProto,
    shape: Sequence[int | None],
    statistics: Normalisation,
) -> None:
    """Make ``model`` take uint8 NHWC and normalise it itself."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    network_input = graph.input[0].name
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(statistics.mean, np.float32).reshape(1, 3, 1, 1), "pixel_mean"),
            numpy_helper.from_array(1 / np.array(statistics.deviation, np.float32).reshape(1, 3, 1, 1), "pixel_scale"),
        ]
    )
    front = [
        helper.make_node("Transpose", ["pixels"], ["pixels_nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["pixels_nchw"], ["pixels_float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["pixels_float", "pixel_mean"], ["pixels_centred"]),
        helper.make_node("Mul", ["pixels_centred", "pixel_scale"], [network_input]),
    ]
    nodes = [*front, *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape))


def _append_choices(model: onnx.ModelProto, characters: Sequence[str]) -> None:
    """Return what :func:`ocr_pipeline.ocr.steps.choose` does instead of all probabilities."""
    from onnx import TensorProto, helper

    graph = model.graph
    probabilities = graph.output[0].name
    one = store(model, "one", np.array([1], np.int64))
    plain = store(model, "plain_classes", np.array(plain_classes(characters), np.int64))
    space = store(model, "space_class", np.array([space_class(characters)], np.int64))
    graph.node.extend(
        [
            helper.make_node("TopK", [probabilities, one], ["best_probability", "best"], axis=-1),
            helper.make_node("Gather", [probabilities, plain], ["plain_probabilities"], axis=-1),
            helper.make_node("TopK", ["plain_probabilities", one], ["plain_probability", "plain_place"], axis=-1),
            helper.make_node("Gather", [plain, "plain_place"], ["plain"], axis=0),
            helper.make_node("Gather", [probabilities, space], ["space_probability"], axis=-1),
            helper.make_node(
                "Concat", ["best_probability", "plain_probability", "space_probability"], ["probability"], axis=-1
            ),
            helper.make_node("Concat", ["best", "plain"], ["class"], axis=-1),
        ]
    )
    del graph.output[:]
    graph.output.extend(
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, (None, None, 3)),
            helper.make_tensor_value_info("class", TensorProto.INT64, (None, None, 2)),
        ]
    )


def _last_layer(model: onnx.ModelProto, path: Path) -> tuple[str, str]:
    """The names of the weights (features, classes) and the bias (classes,) of the layer before the final softmax."""
    producers = {output: node for node in model.graph.node for output in node.output}
    found = []
    output = model.graph.output[0].name
    for kind in ("Softmax", "Add", "MatMul"):
        node = producers.get(output)
        if node is None or node.op_type != kind:
            raise EngineError(f"{path} does not end in a linear layer and a softmax: it is not a PP-OCR recogniser")
        found.append(node)
        output = node.input[0]
    _, bias, product = found
    names = product.input[1], bias.input[1]
    stored = {name: len(found.dims) for name, found in constants(model).items()}
    if [stored.get(name) for name in names] != [2, 1]:
        raise EngineError(f"{path} does not store the weights of its last layer: it is not a PP-OCR recogniser")
    return names
