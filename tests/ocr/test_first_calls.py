"""The first call of a network comes from all reader threads at once; libraries initialise themselves in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

_PROCESSES = 8

_READ_AT_ONCE = """
import faulthandler, sys, threading
import numpy as np
from onnx import TensorProto, helper
from ocr_pipeline.ocr.onnxruntime import OnnxRuntimeRunner
from ocr_pipeline.ocr.openvino import OpenVinoRunner

def tensor(name, kind):
    return helper.make_tensor_value_info(name, kind, (None, None, None, 3))

cast = helper.make_node("Cast", ["pixels"], ["out"], to=TensorProto.FLOAT)
graph = helper.make_graph([cast], "cast", [tensor("pixels", TensorProto.UINT8)], [tensor("out", TensorProto.FLOAT)])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
runner = OpenVinoRunner(8) if sys.argv[1] == "openvino" else OnnxRuntimeRunner()
network = runner.load(model.SerializeToString(), 64)
together = threading.Barrier(8)

def read():
    together.wait()
    network(np.zeros((1, 8, 8, 3), np.uint8))

# A thread of the C library: when threads wait for each other with the interpreter's lock, no Python code runs.
faulthandler.dump_traceback_later(60, exit=True)
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_threads_that_call_a_network_first_at_the_same_moment_all_return(engine: str) -> None:
    # Without the runner's precaution about a fifth of such processes hang with OpenVINO.
    for _ in range(_PROCESSES):
        done = subprocess.run(
            [sys.executable, "-c", _READ_AT_ONCE, engine], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
