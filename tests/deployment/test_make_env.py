from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

from cryptography.fernet import Fernet

from tests.deployment.files import ROOT, make_env, read_env

SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "FERNET_KEY", "JWT_SECRET", "API_SECRET_KEY", "ADMIN_PASSWORD")


def test_every_generated_file_has_secrets_of_its_own(tmp_path: Path) -> None:
    make_env(tmp_path / "one")
    make_env(tmp_path / "two")
    values = [read_env(tmp_path / name)[secret] for name in ("one", "two") for secret in SECRETS]
    assert len(set(values)) == 2 * len(SECRETS)


def test_secrets_are_long_enough_for_what_they_protect(env: dict[str, str]) -> None:
    Fernet(env["FERNET_KEY"])  # refuses anything but 32 bytes in URL-safe base64
    assert len(env["JWT_SECRET"]) >= 64  # bytes, for HS512
    assert all(len(env[name]) >= 24 for name in SECRETS)


def test_passwords_can_stand_in_a_url(env: dict[str, str]) -> None:
    assert env["POSTGRES_PASSWORD"].isalnum()
    assert env["REDIS_PASSWORD"].isalnum()


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    make_env(tmp_path / ".env")
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_containers_do_not_run_as_root(env: dict[str, str]) -> None:
    assert int(env["AIRFLOW_UID"]) > 0


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    make_env(path)
    before = path.read_bytes()
    assert "nothing was changed" in make_env(path).stdout
    assert path.read_bytes() == before


def test_what_an_existing_file_lacks_is_added_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# mine\nAIRFLOW_PORT=9999\nexport OCR_ALLOW=/data\nFERNET_KEY=\nOTHER=kept")
    make_env(path)
    text = path.read_text()
    assert text.startswith("# mine\nAIRFLOW_PORT=9999\nexport OCR_ALLOW=/data\nFERNET_KEY=")
    assert "OTHER=kept\n" in text
    assert text.count("AIRFLOW_PORT=") == text.count("OCR_ALLOW=") == text.count("FERNET_KEY=") == 1
    values = read_env(path)
    Fernet(values["FERNET_KEY"])
    assert values.keys() >= read_env(ROOT / ".env.example").keys() - {"OCR_ALLOW"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_example_holds_no_secret() -> None:
    example = read_env(ROOT / ".env.example")
    assert {name: example[name] for name in SECRETS} == dict.fromkeys(SECRETS, "")


def test_secrets_stay_out_of_git_and_of_the_image(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    ignored = subprocess.run(["git", "-C", tmp_path, "check-ignore", ".env"], capture_output=True, text=True)
    assert ignored.stdout == ".env\n"
    rules = (ROOT / ".dockerignore").read_text().split()
    assert not [rule for rule in rules if rule.startswith("!") and "env" in rule]


def test_make_env_runs_the_generator() -> None:
    shown = subprocess.run(["make", "-n", "env"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "scripts/make_env.py" in shown.stdout


def test_a_worker_has_places_for_its_batches_and_for_one_task_more(env: dict[str, str]) -> None:
    assert int(env["OCR_SLOTS"]) == 2
    assert int(env["WORKER_CONCURRENCY"]) == int(env["OCR_SLOTS"]) + 1
