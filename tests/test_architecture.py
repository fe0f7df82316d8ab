"""Data flows one way: which package and which module may import which, and what each task loads."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Container, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

INCLUDE = Path(__file__).parents[1] / "include"
CORE = INCLUDE / "ocr_pipeline"

TASKS = ("planning", "reading", "merging")
"""A package for each task of the DAG; they do not know each other."""

LAYERS = (
    *("viewing", "dataset", "fetch", "images", "ocr", "run", "storage", "settings", "records", "metrics", "errors"),
    *("machine", "phrases"),
)
"""What the tasks stand on, from the top down: each knows only those after it."""

NOT_LOADED = {
    "PlanRunOperator": ("openvino", "onnxruntime", "cv2", "paddle", "pandas"),
    "ReadBatchOperator": ("openvino", "onnxruntime", "paddle", "pandas"),
    "MergeRunOperator": ("aiohttp", "obstore", "cv2", "openvino", "onnxruntime", "paddle"),
}
"""For each task's operator, libraries that what it imports must not load; an engine is loaded when it is chosen."""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} relative import"
            yield node.lineno, node.module or ""
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def imported_modules(path: Path, modules: Container[str]) -> dict[str, int]:
    """Those of ``modules`` that a file imports, wherever in it, with the line."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [part if part in modules else node.module or "" for part in parts]
        else:
            continue
        found |= {name: node.lineno for name in names if name in modules}
    return found


def may_import(own: str) -> set[str]:
    """The parts of the core that the part ``own`` may import."""
    if own in TASKS:
        return {own, *LAYERS}
    return {own, *LAYERS[LAYERS.index(own) + 1 :]}


def wrong_arrows(core: Path) -> list[str]:
    """Every import in ``core`` that points against the flow, with file and line."""
    wrong = []
    for path in sorted(core.rglob("*.py")):
        own = path.relative_to(core).with_suffix("").parts[0]
        for line, name in imports(path):
            top, _, rest = name.partition(".")
            first = rest.partition(".")[0]
            if top == "ocr_pipeline" and first and (own == "__init__" or first not in may_import(own)):
                wrong.append(f"{path}:{line} {own} imports {name}")
            if top in ("airflow", "ocr_airflow", "ocr_local", "ocr_demo"):
                wrong.append(f"{path}:{line} the core imports {name}")
    return wrong


def circle(root: Path, package: str) -> list[str]:
    """Modules of ``root / package`` that import each other in a circle, each with the line that does; none if none."""
    modules = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (root / package).rglob("*.py")
    }
    arrows = {module: imported_modules(path, modules) for module, path in modules.items()}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        # Each is imported by the one after it.
        chain: list[str] = error.args[1]
        return [
            f"{modules[importer]}:{arrows[importer][imported]} imports {imported}"
            for imported, importer in pairwise(chain)
        ]
    return []


def test_the_core_imports_only_downwards_and_never_airflow() -> None:
    assert wrong_arrows(CORE) == []


@pytest.mark.parametrize("package", ["ocr_pipeline", "ocr_local", "ocr_demo", "../plugins/ocr_airflow"])
def test_no_modules_import_each_other(package: str) -> None:
    path = (INCLUDE / package).resolve()
    assert circle(path.parent, path.name) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("records.py", "from ocr_pipeline.reading.batch import Batch"),
        ("fetch/http.py", "def f():\n    import ocr_pipeline.dataset"),
        ("merging/merge.py", "import airflow.sdk"),
        ("merging/merge.py", "from ocr_pipeline.planning.planning import plan_run"),
        ("settings/run.py", "from ocr_pipeline import run"),
        ("run/plan.py", "from ocr_pipeline.ocr import load_engine"),
    ],
)
def test_an_arrow_that_points_up_is_found(tmp_path: Path, module: str, text: str) -> None:
    path = tmp_path / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert len(wrong_arrows(tmp_path)) >= 1
    assert f"{path}:{text.count(chr(10)) + 1} " in wrong_arrows(tmp_path)[0]


def test_a_circle_is_found(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("from package.b import f")
    (package / "b.py").write_text("def f():\n    import package.c")
    (package / "c.py").write_text("from package import a")
    found = circle(tmp_path, "package")
    assert sorted(found) == [
        f"{package / 'a.py'}:1 imports package.b",
        f"{package / 'b.py'}:2 imports package.c",
        f"{package / 'c.py'}:1 imports package.a",
    ]


def test_every_module_of_the_core_has_its_place() -> None:
    found = {path.stem for path in CORE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found - {"__init__"} == {*TASKS, *LAYERS}


@pytest.mark.parametrize("operator", NOT_LOADED)
def test_a_task_loads_only_what_it_needs(operator: str) -> None:
    tree = ast.parse((INCLUDE.parent / "plugins" / "ocr_airflow" / "operators.py").read_text())
    defined = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == operator)
    modules = [
        node.module
        for node in ast.walk(defined)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ocr_pipeline")
    ]
    assert modules
    assert _loaded(modules, NOT_LOADED[operator]) == []


def test_the_reader_process_loads_only_what_it_needs() -> None:
    unneeded = ["ocr_pipeline.storage", "ocr_pipeline.settings.deployment", "pypdfium2", "aiohttp", "pyarrow", "pandas"]
    assert _loaded(["ocr_pipeline.reading.reader_process"], unneeded) == []


def _loaded(modules: Iterable[str], of_these: Iterable[str]) -> list[str]:
    """Which ``of_these`` are loaded where ``modules`` are."""
    script = f"import sys, {', '.join(modules)}\nprint(*set({list(of_these)!r}).intersection(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(INCLUDE)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.split()


def test_plugins_hold_one_file_that_airflow_runs_and_one_package_that_it_ignores() -> None:
    plugins = INCLUDE.parent / "plugins"
    ignored = (plugins / ".airflowignore").read_text().split()
    assert [path.name for path in plugins.glob("*.py")] == ["ocr_results_plugin.py"]
    assert ignored == [f"{path.name}/" for path in plugins.iterdir() if (path / "__init__.py").exists()]
