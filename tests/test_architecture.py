"""Data flows one way: what may import what."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

INCLUDE = Path(__file__).parents[1] / "include"
CORE = INCLUDE / "ocr_pipeline"

FOUNDATION = (
    "errors",
    "languages",
    "model_names",
    "config",
    "allowances",
    "stores",
    "folders",
    "objects",
    "storage",
    "records",
)
"""What every stage may know, each only what stands before it."""

STAGES = {
    "dataset": ("fetch",),
    "catalog": (),
    "planning": ("dataset", "catalog"),
    "fetch": (),
    "images": (),
    "ocr": (),
    "staging": (),
    "journal": (),
    "progress": ("fetch", "journal"),
    "batch": ("planning", "fetch", "images", "ocr", "staging", "journal", "progress"),
    "results": (),
    "merge": ("dataset", "catalog", "planning", "staging", "results"),
}
"""The stages in the order data passes them, and which others each may know."""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} relative import"
            yield node.lineno, node.module or ""
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def wrong_arrows(core: Path) -> list[str]:
    """Every import in ``core`` that points against the flow, with file and line."""
    wrong = []
    for path in sorted(core.rglob("*.py")):
        parts = path.relative_to(core).with_suffix("").parts
        own = parts[0]
        if own == "__init__":
            continue
        if own in FOUNDATION:
            known = set(FOUNDATION[: FOUNDATION.index(own)])
        else:
            known = {*FOUNDATION, *STAGES[own], own}  # a package's modules know each other
        for line, name in imports(path):
            top, _, rest = name.partition(".")
            first = rest.partition(".")[0]
            if top == "ocr_pipeline" and first and first not in known:
                wrong.append(f"{path}:{line} {own} imports {name}")
            if top in ("airflow", "ocr_airflow", "ocr_local", "ocr_demo"):
                wrong.append(f"{path}:{line} the core imports {name}")
    return wrong


def test_the_core_imports_only_downwards_and_never_airflow() -> None:
    assert wrong_arrows(CORE) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("records.py", "from ocr_pipeline.batch import Batch"),
        ("fetch/http.py", "def f():\n    import ocr_pipeline.ocr"),
        ("merge.py", "import airflow.sdk"),
        ("config.py", "from ocr_pipeline import records"),
    ],
)
def test_an_arrow_that_points_up_is_found(tmp_path: Path, module: str, text: str) -> None:
    path = tmp_path / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert len(wrong_arrows(tmp_path)) >= 1
    assert f"{path}:{text.count(chr(10)) + 1} " in wrong_arrows(tmp_path)[0]


def test_every_module_of_the_core_has_its_place() -> None:
    found = {path.stem for path in CORE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found - {"__init__"} == {*FOUNDATION, *STAGES}


def test_plugins_hold_one_package_and_airflow_ignores_the_rest() -> None:
    plugins = INCLUDE.parent / "plugins"
    ignored = (plugins / ".airflowignore").read_text().split()
    assert [path.name for path in plugins.glob("*.py")] == []
    assert ignored == [f"{path.name}/" for path in plugins.iterdir() if (path / "__init__.py").exists()]
