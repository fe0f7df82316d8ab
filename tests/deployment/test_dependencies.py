"""What is imported against what pyproject.toml declares, and that against the locks."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deployment.files import ROOT

OWN = {"ocr_pipeline", "ocr_airflow", "ocr_local", "ocr_demo", "tests", "benchmarks"}

CORE: tuple[str, ...] = ("include/ocr_pipeline", "plugins", "dags")
HEIC = "include/ocr_pipeline/images/heic.py"
PADDLE = ("include/ocr_pipeline/ocr/paddle.py", "include/ocr_pipeline/ocr/stock.py")
"""The modules of the core that may import what the extra ``paddle`` brings."""
CELERY_WORKER = "plugins/ocr_airflow/celery_worker.py"
"""The module that only Celery workers import."""

FLEET = ("fleet", "kubernetes")
"""The extras of which nothing is imported: Airflow loads what they bring."""

NOT_IMPORTED = {
    "apache-airflow-providers-celery": "Airflow loads it",
    "apache-airflow-providers-cncf-kubernetes": "Airflow loads it",
    "apache-airflow-providers-fab": "Airflow loads it",
    "apache-airflow-providers-postgres": "Airflow loads it",
    "paddlex": "asked in a process of its own, see ocr/hub.py",
    "rapidocr": "only its model files are used",
    "statsd": "Airflow loads it",
}
"""What is declared for another reason than an import, and why."""

_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;]+)(.*(?:\n    --hash=.*)*)", re.MULTILINE)


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def declared(pyproject: dict[str, Any], *extras: str) -> dict[str, Requirement]:
    """The requirements of the core and of ``extras`` by their canonical names; ``dev`` is the group."""
    project = pyproject["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += pyproject["dependency-groups"]["dev"] if extra == "dev" else project["optional-dependencies"][extra]
    requirements = [Requirement(line) for line in lines]
    inner = {extra for item in requirements if item.name == project["name"] for extra in item.extras} - set(extras)
    if inner:
        return declared(pyproject, *extras, *inner)
    return {canonicalize_name(item.name): item for item in requirements if item.name != project["name"]}


@cache
def installed() -> dict[str, set[str]]:
    """The distributions that bring each top-level module."""
    return {module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()}


def providers(module: str) -> set[str]:
    """The distributions whose declaration is one of ``module``: those that bring it, or require one that does."""
    found = installed().get(module, set())
    # apache-airflow has no module of its own, and stands for its parts.
    if found & {canonicalize_name(Requirement(line).name) for line in requires("apache-airflow") or []}:
        return found | {"apache-airflow"}
    return found


@cache
def third_party(path: Path) -> list[tuple[int, str]]:
    """Line and top-level name of each import, wherever in the file, of what is neither Python's nor our own."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in OWN:
                found.append((node.lineno, top))
    return found


def undeclared(paths: list[Path], known: dict[str, Requirement]) -> list[str]:
    """Every import in ``paths`` that none of ``known`` brings, with file and line."""
    return [
        f"{path}:{line} {module}"
        for path in paths
        for line, module in third_party(path)
        if not providers(module) & known.keys()
    ]


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_a_task_imports_only_what_the_core_declares(pyproject: dict[str, Any]) -> None:
    files = [path for path in python_files(*CORE) if str(path.relative_to(ROOT)) not in {*PADDLE, HEIC, CELERY_WORKER}]
    assert undeclared(files, declared(pyproject)) == []


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("include/ocr_pipeline/ocr", ("paddle",)),
        ("include/ocr_pipeline/images", ("heic",)),
        ("plugins", ("fleet",)),
        ("include/ocr_demo", ("demo",)),
        ("include/ocr_local", ("local",)),
        ("scripts", ("local", "demo", "paddle", "dev")),
        ("tests", ("local", "demo", "paddle", "heic", "dev")),
    ],
)
def test_an_extra_has_what_its_part_imports(pyproject: dict[str, Any], folder: str, extras: tuple[str, ...]) -> None:
    assert undeclared(python_files(folder), declared(pyproject, *extras)) == []


def peers(name: str) -> set[str]:
    """What an environment of peers is to have."""
    lines = (ROOT / f"benchmarks/requirements-{name}.in").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(Requirement(line.partition("#")[0]).name) for line in lines if not line.startswith("#")}


def test_benchmarks_import_what_they_declare(pyproject: dict[str, Any]) -> None:
    # They run their peers in environments of their own, the worker beside its module systems.
    known = declared(pyproject, "local", "demo", "paddle")
    systems, fetching = ROOT / "benchmarks/ocr/systems.py", ROOT / "benchmarks/fetch/peer.py"
    files = [path for path in python_files("benchmarks") if path not in (systems, fetching)]
    assert [line for line in undeclared(files, known) if not line.endswith(" systems")] == []
    undeclared_peers = {canonicalize_name(line.split()[-1]) for line in undeclared([systems], known)}
    assert undeclared_peers <= peers("peers")
    assert {module for _, module in third_party(fetching)} <= peers("fetch")


def test_what_is_not_declared_is_found(pyproject: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import numpy\n\ndef f():\n    from rich import Console\n    import nowhere.b\n")
    assert undeclared([tmp_path / "a.py"], declared(pyproject)) == [
        f"{tmp_path / 'a.py'}:4 rich",
        f"{tmp_path / 'a.py'}:5 nowhere",
    ]
    assert undeclared([tmp_path / "a.py"], declared(pyproject, "local")) == [f"{tmp_path / 'a.py'}:5 nowhere"]


def test_everything_that_is_declared_is_needed(pyproject: dict[str, Any]) -> None:
    for folders, known in (
        (CORE, declared(pyproject)),
        ((*CORE, "include/ocr_local", "include/ocr_demo"), declared(pyproject, "local", "demo", "paddle", *FLEET)),
    ):
        imported = {module for path in python_files(*folders) for _, module in third_party(path)}
        brought = {name for module in imported for name in providers(module)}
        assert sorted(known.keys() - brought - NOT_IMPORTED.keys()) == []


def test_the_models_whose_digests_are_known_are_pinned(pyproject: dict[str, Any]) -> None:
    assert {spec.operator for spec in declared(pyproject)["rapidocr"].specifier} == {"=="}


def locked(name: str) -> dict[tuple[str, str], str]:
    """What a lock has for each name and version: its marker and hashes."""
    found = _LOCKED.findall((ROOT / name).read_text(encoding="utf-8"))
    return {(canonicalize_name(package), version): rest for package, version, rest in found}


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.txt", ("local", "demo", "paddle", "heic", *FLEET)),
        ("requirements-dev.txt", ("dev",)),
    ],
)
def test_a_lock_has_what_is_declared(pyproject: dict[str, Any], lock: str, extras: tuple[str, ...]) -> None:
    versions: dict[str, set[str]] = {}
    for name, version in locked(lock):
        versions.setdefault(name, set()).add(version)
    wanted = declared(pyproject, *extras)
    if extras == ("dev",):
        wanted = {name: item for name, item in wanted.items() if name not in declared(pyproject)}
    for name, item in wanted.items():
        assert versions.get(name), f"{lock} has no {name}: make lock"
        assert all(Version(version) in item.specifier for version in versions[name]), f"{name}: make lock"


@pytest.mark.parametrize("lock", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_a_lock_names_no_index_but_paddles_own(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    named = re.findall(r"[a-z]+://[^/\s]+", text)
    assert named == (["https://www.paddlepaddle.org.cn"] if lock == "requirements-gpu.txt" else [])
