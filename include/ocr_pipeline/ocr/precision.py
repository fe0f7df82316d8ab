"""Half precision, in which graphics processors compute several times as fast and move half as many bytes."""

from __future__ import annotations

from ocr_pipeline.ocr.cache import cached

_SINGLE = ("Pow", "ReduceMean", "Sqrt")
"""Operators of normalising layers that stay in float32."""


def half_precision(graph: bytes) -> bytes:
    """``graph``, a serialised ONNX model, computing in float16; its inputs and outputs stay what they are.

    Choosing the best class stays in float32, and so does what squares: float16 ends at 65,504, the square of 256.
    Converted once for all processes. Needs the package onnxruntime.
    """

    def convert() -> bytes:
        import onnx
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

        converted = convert_float_to_float16(
            onnx.load_model_from_string(graph), keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_SINGLE]
        )
        half: bytes = converted.SerializeToString()
        return half

    return cached([b"half precision", repr(_SINGLE).encode(), graph], convert)
