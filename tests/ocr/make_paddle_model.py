"""Writes a hand-made model in Paddle's own format; its arguments: folder, and names of the two networks.

A process of its own runs it, because Paddle changes the process that imports it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle.nn import functional

paddle.disable_signal_handler()


class Darkness(paddle.nn.Layer):
    """Finds what is dark."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(-6.0))

    def forward(self, pixels: paddle.Tensor) -> paddle.Tensor:
        return functional.sigmoid(self.scale * functional.avg_pool2d(pixels.mean(axis=1, keepdim=True), 9, 1, 4))


class AlwaysB(paddle.nn.Layer):
    """Reads every line as the one letter b: classes are blank, a, b, c, space."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = self.create_parameter(
            [5], default_initializer=paddle.nn.initializer.Assign(np.array([0, 0, 9, 0, 0], np.float32))
        )

    def forward(self, pixels: paddle.Tensor) -> paddle.Tensor:
        steps = (
            functional.avg_pool2d(pixels.mean(axis=1, keepdim=True), [48, 8], [48, 8]).squeeze(1).transpose([0, 2, 1])
        )
        return functional.softmax(steps * 0 + self.bias, axis=-1)


def save(
    network: paddle.nn.Layer,
    shape: list[int | None],
    name: str,
    preprocess: list[dict[str, Any]],
    postprocess: dict[str, Any],
) -> None:
    folder = Path(sys.argv[1], name)
    folder.mkdir(parents=True)
    network.eval()
    spec = [paddle.static.InputSpec(shape, "float32", "x")]
    paddle.jit.save(paddle.jit.to_static(network, input_spec=spec, full_graph=True), str(folder / "inference"))
    transforms = [{"DecodeImage": {"channel_first": False, "img_mode": "BGR"}}, *preprocess]
    config = {"Global": {"model_name": name}, "PreProcess": {"transform_ops": transforms}, "PostProcess": postprocess}
    (folder / "inference.yml").write_text(json.dumps(config))


save(
    Darkness(),
    [None, 3, None, None],
    sys.argv[2],
    [
        {"DetResizeForTest": {"resize_long": 960}},
        {
            "NormalizeImage": {
                "mean": [0.485, 0.456, 0.406],
                "std": [0.229, 0.224, 0.225],
                "scale": "1./255.",
                "order": "hwc",
            }
        },
        {"ToCHWImage": None},
    ],
    {"name": "DBPostProcess", "thresh": 0.3, "box_thresh": 0.6, "max_candidates": 1000, "unclip_ratio": 1.5},
)
save(
    AlwaysB(),
    [None, 3, 48, None],
    sys.argv[3],
    [{"RecResizeImg": {"image_shape": [3, 48, 320]}}],
    {"name": "CTCLabelDecode", "character_dict": ["a", "b", "c"]},
)
