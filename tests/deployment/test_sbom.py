"""The list of parts that the image carries."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.deployment.files import ROOT


def write_sbom(output: Path, models: Path) -> str:
    command: list[str | Path] = [sys.executable, ROOT / "scripts/write_sbom.py", "--version", "1.2", "--output", output]
    subprocess.run(command, check=True, env={"OCR_MODELS": str(models), "PATH": "/usr/bin:/bin"}, timeout=120)
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    models = tmp_path_factory.mktemp("models")
    (models / "some_network_onnx").mkdir()
    (models / "some_network_onnx" / "inference.onnx").write_bytes(b"weights")
    (models / "some_network_onnx" / "inference.yml").write_bytes(b"no weights")
    return write_sbom(tmp_path_factory.mktemp("sbom") / "sbom.json", models)


@pytest.fixture(scope="module")
def components(text: str) -> dict[str, dict[str, Any]]:
    return {component["bom-ref"]: component for component in json.loads(text)["components"]}


def test_it_follows_the_schema(text: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"purl"', '"pearl"', 1)) is not None
    assert json.loads(text)["metadata"]["component"]["version"] == "1.2"


def test_it_has_pythons_packages(components: dict[str, dict[str, Any]]) -> None:
    airflow = components[f"pkg:pypi/apache-airflow@{version('apache-airflow')}"]
    assert airflow["version"] == version("apache-airflow")
    assert airflow["licenses"] == [{"expression": "Apache-2.0"}]


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="no Debian")
def test_it_has_debians_packages(components: dict[str, dict[str, Any]]) -> None:
    query = ["dpkg-query", "--show", "--showformat", "${Version}", "bash"]
    bash = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    assert [c["version"] for ref, c in components.items() if ref.startswith("pkg:deb/") and c["name"] == "bash"] == [
        bash
    ]


def test_it_has_the_models_by_their_digests(components: dict[str, dict[str, Any]]) -> None:
    models = {c["name"]: c["hashes"] for c in components.values() if c["type"] == "machine-learning-model"}
    digest = hashlib.sha256(b"weights").hexdigest()
    assert models["some_network_onnx/inference.onnx"] == [{"alg": "SHA-256", "content": digest}]
    assert [name for name in models if name.endswith("PP-OCRv6_rec_small.onnx")]
    assert [name for name in models if name.endswith("inference.yml")] == []
