"""scripts/init_airflow.sh, with a stand-in for Airflow that asks for the password as Airflow's own command does."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.files import ROOT

PASSWORD = "pa$$ 'wo\"rd\\n"

AIRFLOW = f"""#!{sys.executable}
import getpass, json, os, sys
import psutil

call = {{"arguments": sys.argv[1:]}}
if sys.argv[1:3] == ["users", "create"] and "--password" not in " ".join(sys.argv):
    call["typed"] = [getpass.getpass("Password:"), getpass.getpass("Repeat for confirmation:")]
call["lines"] = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
with open(os.environ["CALLS"], "a") as file:
    print(json.dumps(call), file=file)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    program = tmp_path / "bin" / "airflow"
    program.parent.mkdir()
    program.write_text(AIRFLOW)
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "OCR_SLOTS": "3",
        "ADMIN_USER": "boss",
        "ADMIN_PASSWORD": PASSWORD,
    }


def calls(environment: dict[str, str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(environment["CALLS"]).read_text().splitlines()]


@pytest.mark.parametrize("terminal", [False, True])
def test_the_password_is_on_no_command_line(environment: dict[str, str], terminal: bool) -> None:
    script = str(ROOT / "scripts" / "init_airflow.sh")
    if terminal:
        pid, reader = pty.fork()
        if not pid:
            os.execvpe("bash", ["bash", script], environment)
        with suppress(OSError):  # how a terminal ends
            while os.read(reader, 1024):
                pass
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    else:
        subprocess.run(["bash", script], env=environment, stdin=subprocess.DEVNULL, check=True, timeout=60)
    *_, create = calls(environment)
    assert create["arguments"][:6] == ["users", "create", "--role", "Admin", "--username", "boss"]
    assert create["typed"] == [PASSWORD, PASSWORD]
    assert [line for call in calls(environment) for line in call["lines"] if PASSWORD in " ".join(line or [])] == []


@pytest.mark.parametrize("name", ["OCR_SLOTS", "ADMIN_USER", "ADMIN_PASSWORD"])
def test_a_variable_that_is_not_set_ends_it(environment: dict[str, str], name: str) -> None:
    del environment[name]
    ended = subprocess.run(
        ["bash", str(ROOT / "scripts" / "init_airflow.sh")], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode != 0
    assert f"{name}: set in .env" in ended.stderr
    assert [call for call in calls(environment) if call["arguments"][:2] == ["users", "create"]] == []
