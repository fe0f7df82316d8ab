"""Staging models: official ones are downloaded once, before the tasks that read.

``python -m ocr_pipeline.ocr.hub MODEL`` does it from a shell, with ``--engine paddle`` in Paddle's own format.
PaddleX downloads, from Hugging Face, AI Studio, ModelScope or Baidu's own store, whichever answers; its environment
variables ``PADDLE_PDX_MODEL_SOURCE`` and ``PADDLE_PDX_HUGGING_FACE_ENDPOINT`` choose another order or a mirror.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocr_pipeline.errors import EngineError, ModelDownloadError, SettingsError
from ocr_pipeline.ocr.extras import paddle_missing
from ocr_pipeline.ocr.models import (
    FOLDER_VARIABLE,
    find_model,
    folder_name,
    models_folder,
    staged_network,
    staging_command,
)
from ocr_pipeline.settings.models import DEFAULT_MODEL, MODELS, ModelName
from ocr_pipeline.settings.run import ReadSettings

_LIMIT = 1800
"""Seconds that the download of one network may take; the largest have some 100 MB."""

_PARTIAL = ".partial-"

_DOWNLOAD = """\
import sys
from paddlex.inference.utils.official_models import official_models
name, kind = sys.argv[1:]
try:
    official_models.get_model_path(name, model_formats=[kind])
except Exception as error:
    sys.exit(f"{error}: {error.__cause__}" if error.__cause__ else str(error))
"""
"""Runs in a process of its own: the hubs' clients are slow to import, and can be ended when they hang."""


def stage_model(settings: ReadSettings) -> None:
    """Download the model that ``settings`` name, in the format that their engine runs, unless its files are there.

    Safe to call at the same time.

    :raises ModelDownloadError: when it cannot be downloaded.
    :raises EngineError: when PaddleX, which downloads, is not installed, the models folder cannot be written, or the
        default model's files are gone.
    """
    official = MODELS[settings.model]
    onnx = official.onnx_for(settings.engine)
    try:
        find_model(settings.model, settings.engine)
    except EngineError:
        if official.name == MODELS[DEFAULT_MODEL].name and onnx:
            raise  # comes with a package, and has said which
    else:
        return
    folder = models_folder()
    if importlib.util.find_spec("paddlex") is None:
        raise paddle_missing(
            f"model {official.name} is not in {folder}, and downloading it",
            "paddlex",
            f"or, on a machine that has it, {_elsewhere(official, folder, onnx=onnx)}",
        )
    with _locked(folder):
        for network in (official.detection, official.recognition):
            if staged_network(folder, network, onnx=onnx) is None:
                _download(official, network, folder, onnx=onnx)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, and begin with nothing half downloaded in it. The lock goes with its process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise EngineError(
            f"the models folder {folder} cannot be written: {error}; {FOLDER_VARIABLE} names another"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(f"{_PARTIAL}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _download(official: ModelName, network: str, folder: Path, *, onnx: bool) -> None:
    """Have PaddleX download into a cache of its own, then move the result into place, whole."""
    name = folder_name(network, onnx=onnx)
    cache = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder))
    try:
        reason = _run_paddlex(network, "onnx" if onnx else "paddle", cache)
        if not reason and staged_network(cache / "official_models", network, onnx=onnx) is None:
            reason = f"what was downloaded as {name} is not complete"
        if reason:
            raise ModelDownloadError(
                f"model {official.name} is not in {folder} and could not be downloaded: {reason}; "
                f"on a machine with network, {_elsewhere(official, folder, onnx=onnx)}"
            )
        shutil.rmtree(folder / name, ignore_errors=True)  # incomplete, or this would not run
        (cache / "official_models" / name).rename(folder / name)
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def _elsewhere(official: ModelName, folder: Path, *, onnx: bool) -> str:
    """How a model is staged on another machine."""
    command = staging_command(official, onnx=onnx)
    return f"{FOLDER_VARIABLE}=FOLDER {command}, then copy the folders in it into {folder}"


def _run_paddlex(network: str, kind: str, cache: Path) -> str:
    """Download into ``cache``; returns why that failed, or nothing."""
    environment = dict(os.environ, PADDLE_PDX_CACHE_HOME=str(cache))
    # Without its check, which takes seconds, a machine without network retries each hub for minutes.
    environment.pop("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", None)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DOWNLOAD, network, kind],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {_LIMIT} seconds"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip() or f"PaddleX ended with status {done.returncode}"
    return said.splitlines()[-1].rstrip(". ")


def main(arguments: list[str]) -> int:
    """Stage the models named on the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="ocr_pipeline.ocr.hub", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--engine", default="auto", help="that will run them; paddle needs Paddle's own format")
    asked = parser.parse_args(arguments)
    if not asked.models:
        print(f"name a model: {', '.join(MODELS)}", file=sys.stderr)
        return 2
    try:
        for name in asked.models:
            settings = ReadSettings.parse({"model": name, "engine": asked.engine})
            stage_model(settings)
            model = find_model(name, settings.engine)
            print(f"{model.name} is staged: {model.detection}, {model.recognition}")
    except (EngineError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
