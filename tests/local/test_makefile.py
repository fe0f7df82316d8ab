"""What ``make`` hands on to the commands behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocr_local.home import CHECKOUT

ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"
ODD = [
    "it's",
    "/data/$5 & more, [2024]/$(shell echo x) `date`.csv",
    '"quoted" \\ #no comment',
    "two\nlines $HOME",
    " spaces  ",
    "100 % ${CURDIR} $$",
]


def made(tmp_path: Path, target: str, *given: str, **environment: str) -> list[str]:
    """The arguments that a target gives to the local commands, of which a script takes the place."""
    echo = tmp_path / "echo.py"
    echo.write_text(ECHO)
    # As from a shell, also where make runs these tests: one within another says which folder it is in.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-o", ".venv/.installed", target, f"LOCAL={sys.executable} {echo}", *given],
        cwd=CHECKOUT,
        env=outside | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    arguments: list[str] = json.loads(done.stdout)
    return arguments


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("run DATASETS=a.csv", "make run takes no DATASETS; did you mean DATASET?"),
        ("run dataset=a.csv LIMIT=5", "make run takes no dataset; did you mean DATASET?"),
        ("retry RUN=a X=", "make retry takes no X: it takes RUN DAG"),
        ("up DATASET=a.csv", "make up takes no DATASET: it takes ALLOW"),
        ("airflow ARG=info", "make airflow takes no ARG; did you mean ARGS?"),
    ],
)
def test_a_name_that_no_command_knows_is_refused(tmp_path: Path, given: str, said: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        made(tmp_path, *given.split())
    assert said in refused.value.stderr


def test_names_of_the_environment_are_nobodys_mistake(tmp_path: Path) -> None:
    assert made(tmp_path, "up", "ALLOW=proxy", "PYTHON=python3", DATASETS="a.csv") == ["up", "--allow=proxy"]


@pytest.mark.parametrize("text", ODD)
def test_text_is_handed_on_as_it_is(tmp_path: Path, text: str) -> None:
    wanted = [f"--dataset={text}", f"--allow={text}", f"--output={text}"]
    given = [f"DATASET={text}", f"OUTPUT={text}", f"ALLOW={text}"]
    if text.startswith(" "):  # make takes off what is in front of a value that its command line gives
        wanted = [option.replace("= ", "=") for option in wanted]
    assert made(tmp_path, "run", *given) == ["run", *wanted]
    assert made(tmp_path, "retry", f"RUN={text}", f"DAG={text}")[1:] == [
        option.replace("--allow", "--run").replace("--output", "--dag") for option in wanted[1:]
    ]
    assert made(tmp_path, "run", DATASET=text) == ["run", f"--dataset={text}"]


def test_what_is_not_given_is_no_option(tmp_path: Path) -> None:
    assert made(tmp_path, "run", "DATASET=", "LIMIT=5") == ["run", "--limit=5"]
    assert made(tmp_path, "up", "ALLOW=/a b,10.0.0.0/8") == ["up", "--allow=/a b,10.0.0.0/8"]
    assert made(tmp_path, "up") == ["up"]
    assert made(tmp_path, "airflow", "ARGS=dags list 'a b'") == ["airflow", "--args=dags list 'a b'"]
