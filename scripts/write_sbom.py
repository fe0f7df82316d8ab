"""Write what an image is made of as CycloneDX: Python's and Debian's packages, and the models with their digests.

Runs in the image, with nothing but Python's own library.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]

_WEIGHTS = {".onnx", ".pdiparams"}


def python_packages() -> Iterator[Component]:
    """The distributions that this Python finds, each once."""
    found: dict[str, Distribution] = {}
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        found.setdefault(name, distribution)
    for name, distribution in sorted(found.items()):
        component = _package(f"pkg:pypi/{name}@{quote(distribution.version)}", name, distribution.version)
        # Older packages name their licence in words that no program reads.
        if expression := distribution.metadata["License-Expression"]:
            component["licenses"] = [{"expression": expression}]
        yield component


def debian_packages() -> Iterator[Component]:
    """The packages of the system, where it has Debian's."""
    if shutil.which("dpkg-query") is None:
        return
    system = platform.freedesktop_os_release()["ID"]
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\\n"]
    for line in subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines():
        name, version, architecture = line.split()
        purl = f"pkg:deb/{system}/{quote(name)}@{quote(version)}?arch={architecture}"
        yield _package(purl, name, version)


def models(folders: list[Path]) -> Iterator[Component]:
    """The weights in ``folders``, by their digests."""
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in _WEIGHTS):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            yield {
                "type": "machine-learning-model",
                "bom-ref": str(path),
                "name": str(path.relative_to(folder)),
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }


def model_folders() -> list[Path]:
    """Where models lie: the package that carries the default one, and the deployment's folder."""
    spec = importlib.util.find_spec("rapidocr")
    own = [Path(spec.origin).parent] if spec and spec.origin else []
    staged = os.environ.get("OCR_MODELS")
    return [*own, Path(staged)] if staged else own


def bill_of_materials(version: str) -> dict[str, Any]:
    """All of it as a CycloneDX document; the same image gives the same bytes."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "airflow-bulk-ocr", "version": version}},
        "components": [*python_packages(), *debian_packages(), *models(model_folders())],
    }


def _package(purl: str, name: str, version: str) -> Component:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True, help="of the image")
    parser.add_argument("--output", type=Path, required=True, help="the file to write")
    options = parser.parse_args(arguments)
    options.output.write_text(json.dumps(bill_of_materials(options.version), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
