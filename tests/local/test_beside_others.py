"""Local commands beside others: their runs, what somebody has allowed, and an Airflow that does not answer."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from ocr_local.airflow import Running
from ocr_local.allow import parse_allowed
from ocr_local.api import AirflowApi, ApiError
from ocr_local.home import CHECKOUT, Home
from ocr_local.locks import RunMarks
from ocr_local.retry import RetryError, retry_run
from ocr_local.run import RunFailedError, RunRequest, RunStopped, run_dataset
from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.deployment import ALLOW_VARIABLE, Allowances, split_allowed
from tests.conftest import bare_environment
from tests.local.airflow_api import AirflowServer

pytestmark = pytest.mark.slow

Start = Callable[[], tuple["subprocess.Popen[bytes]", str]]
COMMAND = """
import sys
from pathlib import Path
from rich.console import Console
from ocr_local.airflow import Running
from ocr_local.home import Home
from ocr_local.run import RunRequest, run_dataset

home, port, dataset, output = sys.argv[1:]
request = RunRequest(None, None, output, None, None)
run_dataset(Home(Path(home)), Running(0, int(port)), dataset, request, Console())
"""


@pytest.fixture
def airflow() -> Iterator[AirflowServer]:
    with AirflowServer() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.csv").write_text("image\n")
    return tmp_path / "links" / "a.csv"


@pytest.fixture
def run(home: Home, airflow: AirflowServer, dataset: Path, tmp_path: Path) -> Callable[..., None]:
    """``make run`` on the running Airflow."""

    def run(dataset: Path = dataset, output: Path = tmp_path / "out", allow: str = "") -> None:
        request = RunRequest(None, None, str(output), None, None, tuple(parse_allowed(allow)))
        run_dataset(home, Running(0, airflow.port), str(dataset), request, Console(quiet=True))

    return run


@pytest.fixture
def start(home: Home, airflow: AirflowServer, dataset: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts ``make run`` in a process of its own and waits for it to trigger its run; gives it and the run's name."""
    started = []

    def start() -> tuple[subprocess.Popen[bytes], str]:
        known = set(airflow.runs)
        environment = bare_environment() | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'include'}"}
        arguments = [str(home.path), str(airflow.port), str(dataset), str(tmp_path / "out")]
        process = subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], env=environment)
        started.append(process)
        while not (new := set(airflow.runs) - known):
            assert process.poll() is None
            time.sleep(0.05)
        return process, new.pop()

    yield start
    for process in started:
        process.kill()
        process.wait()


def allowed(airflow: AirflowServer) -> list[str]:
    return split_allowed(airflow.variables[ALLOW_VARIABLE]["value"])


def test_only_runs_whose_command_is_gone_are_ended(
    airflow: AirflowServer, run: Callable[..., None], start: Start
) -> None:
    airflow.runs["run-by-hand"] = "running"  # somebody has triggered it in the UI, under a name like ours
    airflow.ends_as = "running"
    first, watched = start()
    airflow.ends_as = "success"
    run()
    assert (airflow.runs[watched], first.poll()) == ("running", None)

    first.send_signal(signal.SIGKILL)
    first.wait()
    run()
    assert airflow.runs[watched] == "failed"
    assert airflow.runs["run-by-hand"] == "running"
    assert airflow.asked("PATCH").count(f"dags/ocr_images/dagRuns/{watched}") == 1
    run()
    assert airflow.asked("PATCH").count(f"dags/ocr_images/dagRuns/{watched}") == 1


def test_a_run_that_airflow_has_forgotten_is_none_to_end(
    airflow: AirflowServer, run: Callable[..., None], start: Start
) -> None:
    airflow.ends_as = "running"
    first, watched = start()
    first.send_signal(signal.SIGKILL)
    first.wait()
    del airflow.runs[watched]
    airflow.ends_as = "success"
    run()
    assert not [path for path in airflow.asked("PATCH") if "dagRuns" in path]


def test_commands_of_the_same_second_have_runs_of_their_own(airflow: AirflowServer, run: Callable[..., None]) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: run(), range(3)))
    assert len(airflow.runs) == 3


def test_a_run_that_failed_is_not_ended_again(airflow: AirflowServer, run: Callable[..., None]) -> None:
    airflow.ends_as = "failed"
    with pytest.raises(RunFailedError):
        run()
    airflow.ends_as = "success"
    run()
    assert not [path for path in airflow.asked("PATCH") if "dagRuns" in path]


def test_a_run_under_way_is_not_retried(airflow: AirflowServer, home: Home, start: Start) -> None:
    airflow.ends_as = "running"
    command, watched = start()
    command.send_signal(signal.SIGSTOP)  # so that it does not notice
    airflow.runs[watched] = "failed"
    with pytest.raises(RetryError, match="another command has run"):
        retry_run(home, Running(0, airflow.port), "ocr_images", watched, Console(quiet=True))


def test_a_mark_is_held_once_and_goes_with_its_holder(tmp_path: Path) -> None:
    marks = RunMarks(tmp_path / "marks")
    with marks.holding("a") as first, marks.holding("a") as second:
        assert (first, second, list(marks.left())) == (True, False, [])
    assert list(marks.left()) == []
    with pytest.raises(RuntimeError), marks.holding("a"):
        raise RuntimeError
    assert list(marks.left()) == ["a"]
    assert list(marks.left()) == []


def test_entries_are_added_to_those_that_are_there(
    airflow: AirflowServer, run: Callable[..., None], tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    before = f"{theirs}, 10.0.0.0/8\ns3://bucket\n"
    airflow.variables[ALLOW_VARIABLE] = {"key": ALLOW_VARIABLE, "value": before, "description": "why"}
    run(allow=f"proxy,{theirs}")
    after = airflow.variables[ALLOW_VARIABLE]
    assert allowed(airflow)[:3] == [str(theirs), "10.0.0.0/8", "s3://bucket"]
    assert allowed(airflow)[3:] == [str(tmp_path / "links"), str(tmp_path / "out"), "proxy"]
    assert after["description"] == "why"
    run(allow="proxy")
    assert airflow.variables[ALLOW_VARIABLE] == after


def test_who_stops_a_run_is_told_how_to_go_on_with_it(
    airflow: AirflowServer, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ocr_local.run.watch", stop)
    with pytest.raises(RunStopped) as stopped:
        run()
    ((name, state),) = airflow.runs.items()
    assert state == "failed"
    assert str(stopped.value).endswith(f"go on from there: make retry RUN={name}")
    assert str(RunStopped.retried_by("receipts", "a b")).endswith("make retry RUN='a b' DAG=receipts")


@pytest.mark.parametrize("entry", ["not/there", "~/not there/"])
def test_a_folder_that_is_not_there_is_not_allowed(tmp_path: Path, entry: str) -> None:
    given = entry if entry.startswith("~") else f"{tmp_path}/{entry}"
    with pytest.raises(SettingsError, match=r"ALLOW: there is no folder .*there/?: correct its name, or make the"):
        parse_allowed(f"proxy,{given}")


def test_a_variable_that_is_not_there_is_made(airflow: AirflowServer, run: Callable[..., None], tmp_path: Path) -> None:
    run()
    assert allowed(airflow) == [str(tmp_path / "links"), str(tmp_path / "out")]


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_read_that_fails_is_no_empty_list(airflow: AirflowServer, run: Callable[..., None], status: int) -> None:
    airflow.variables[ALLOW_VARIABLE] = {"key": ALLOW_VARIABLE, "value": "/theirs", "description": None}
    airflow.failure = lambda method, path: status if (method, path) == ("GET", f"variables/{ALLOW_VARIABLE}") else None
    with pytest.raises(ApiError, match=f"GET variables/ocr_allow: {status} told to say {status}"):
        run()
    assert airflow.variables[ALLOW_VARIABLE]["value"] == "/theirs"
    assert not airflow.runs


def test_a_read_that_fails_for_a_moment_is_tried_again(airflow: AirflowServer, run: Callable[..., None]) -> None:
    airflow.variables[ALLOW_VARIABLE] = {"key": ALLOW_VARIABLE, "value": "/theirs", "description": None}
    left = [503, 502]
    airflow.failure = lambda method, path: left.pop() if left and path.startswith("variables") else None
    run()
    assert allowed(airflow)[0] == "/theirs"
    assert len(allowed(airflow)) == 3


@pytest.mark.parametrize(
    ("method", "path", "passing"),
    [
        ("PATCH", f"variables/{ALLOW_VARIABLE}", [500, 502, 503, 504]),
        ("POST", "variables", [500, 503, 429]),
        ("POST", "dags/ocr_images/dagRuns", [500, 503, 429]),
    ],
)
def test_a_write_that_airflow_could_not_do_is_tried_again(
    airflow: AirflowServer, run: Callable[..., None], method: str, path: str, passing: list[int]
) -> None:
    airflow.failure = lambda *asked: passing.pop() if passing and asked == (method, path) else None
    run()
    assert len(allowed(airflow)) == 2
    assert list(airflow.runs.values()) == ["success"]


def test_a_run_is_triggered_once_where_nobody_knows_whether_it_was(
    airflow: AirflowServer, run: Callable[..., None]
) -> None:
    airflow.failure = lambda method, path: 502 if (method, path) == ("POST", "dags/ocr_images/dagRuns") else None
    with pytest.raises(ApiError, match="502"):
        run()
    assert airflow.asked("POST").count("dags/ocr_images/dagRuns") == 1


def test_a_value_that_airflow_hides_in_part_is_not_written_back(
    airflow: AirflowServer, run: Callable[..., None]
) -> None:
    value = "/data/***/images"
    airflow.variables[ALLOW_VARIABLE] = {"key": ALLOW_VARIABLE, "value": value, "description": None}
    with pytest.raises(ApiError, match="only be changed in the UI"):
        run()
    assert airflow.variables[ALLOW_VARIABLE]["value"] == value


def test_commands_that_start_at_once_share_one_password(tmp_path: Path) -> None:
    for number in range(50):
        home = Home(tmp_path / str(number))
        start = threading.Barrier(8)

        def first_call(_: int, home: Home = home, start: threading.Barrier = start) -> str:
            start.wait()
            return home.secrets().password

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(first_call, range(8)))) == 1
        assert [path.name for path in home.path.iterdir() if "secrets" in path.name] == ["secrets.json"]


def test_commands_that_allow_at_once_lose_nothing(home: Home, dataset: Path, tmp_path: Path) -> None:
    with AirflowServer(latency=0.05) as airflow, ThreadPoolExecutor(8) as pool:

        def run(number: int) -> None:
            request = RunRequest(None, None, str(tmp_path / "out"), None, None, (f"10.0.0.{number}",))
            run_dataset(home, Running(0, airflow.port), str(dataset), request, Console(quiet=True))

        list(pool.map(run, range(8)))
        assert len(allowed(airflow)) == 10
        assert {f"10.0.0.{number}" for number in range(8)} <= set(allowed(airflow))


def test_folders_of_any_name_are_allowed(airflow: AirflowServer, run: Callable[..., None], tmp_path: Path) -> None:
    folder = tmp_path / """[2024], a\\,/b "c" it's $HOME\n/d """
    folder.mkdir(parents=True)
    (folder / "e, 1.csv").write_text("image\n")
    others = [tmp_path / "x,y", tmp_path / "z"]
    for other in others:
        other.mkdir()
    for _ in range(2):  # what the variable was given, later runs can read
        run(dataset=folder / "e, 1.csv", output=folder / "out,put ", allow=f"{tmp_path}/x\\,y,{tmp_path}/z")
    # White space at the end of a setting does not count, so the output is named with a slash behind.
    assert allowed(airflow) == [str(folder), f"{folder / 'out,put '}/", *map(str, others)]
    found = Allowances.parse(airflow.variables[ALLOW_VARIABLE]["value"])
    assert found.allows_path(folder / "out,put " / "run")
    assert not found.allows_path(tmp_path)


def test_a_login_that_has_expired_is_renewed(airflow: AirflowServer) -> None:
    api = AirflowApi(airflow.url, "admin", "password")
    api.set_variable("a", "1")
    airflow.tokens.clear()
    api.set_variable("a", "2")
    assert airflow.variables["a"]["value"] == "2"


def test_a_login_that_is_refused_ends_it(airflow: AirflowServer) -> None:
    airflow.failure = lambda method, path: 401 if path == "auth/token" else None
    with pytest.raises(ApiError, match="cannot log in as admin: 401") as refused:
        AirflowApi(airflow.url, "admin", "s3cret").variable("a")
    assert "s3cret" not in str(refused.value)


def test_an_airflow_that_does_not_answer_is_said_to(airflow: AirflowServer) -> None:
    with AirflowServer() as gone:
        url = gone.url
    with pytest.raises(ApiError, match=f"Airflow does not answer at {url}"):
        AirflowApi(url, "admin", "password").set_variable("a", "1")
    assert not AirflowApi(url, "admin", "password").is_up()


def test_what_cannot_be_asked_is_not_taken_for_absent(airflow: AirflowServer, home: Home) -> None:
    api = AirflowApi(airflow.url, "admin", "password")
    assert (api.has_dag("none"), api.xcom("none", "r", "plan", "run"), api.variable("none")) == (False, None, "")
    airflow.runs["r"] = "failed"
    airflow.failure = lambda method, path: 403 if "xcomEntries" in path else None
    with pytest.raises(ApiError, match="403"):
        api.xcom("ocr_images", "r", "plan", "run")
    with pytest.raises(ApiError, match="403"):
        retry_run(home, Running(0, airflow.port), "ocr_images", "r", Console(quiet=True))
    assert "dags/ocr_images/clearTaskInstances" not in airflow.asked("POST")
    airflow.failure = lambda method, path: 403
    with pytest.raises(ApiError, match="403"):
        api.has_dag("ocr_images")
    assert not api.is_up()
