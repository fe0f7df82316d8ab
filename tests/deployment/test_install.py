"""``make install`` on a machine whose certificate authority is only in the system's store, as behind a TLS proxy.

An index of the test's own stands for the registry. The system's store is changed for the command alone, in a mount
namespace of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.deployment.files import ROOT
from tests.deployment.package_index import add_wheel, serving

STORE = Path("/etc/ssl/certs/ca-certificates.crt")
ISOLATED = ["unshare", "--user", "--map-root-user", "--mount"]
UV = Path(sys.executable).with_name("uv")

Make = Callable[..., subprocess.CompletedProcess[str]]


def _can_isolate() -> bool:
    try:
        return subprocess.run([*ISOLATED, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (STORE.exists() and UV.exists() and _can_isolate()),
        reason="needs Debian's certificate store, the uv of make install, and mount namespaces",
    ),
]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Runs the Makefile in an empty folder whose lock names one package of the index; returns what it did."""
    index, checkout = tmp_path / "index", tmp_path / "checkout"
    checkout.mkdir()
    found = re.search(r"^UV_VERSION := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    # In place of uv's wheel, which is large, one that runs the uv there is.
    command = f"#!python\nimport os, sys\nos.execv({str(UV)!r}, sys.argv)\n"
    add_wheel(index, "uv", found[1], {f"uv-{found[1]}.data/scripts/uv": command})
    digest = add_wheel(index, "tiny", "1.0", {"tiny.py": "size = 1\n"})
    (checkout / "requirements.txt").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    authority = trustme.CA()
    trusting = tmp_path / "trusting.pem"
    trusting.write_bytes(STORE.read_bytes() + authority.cert_pem.bytes())
    own = ("PIP_", "UV_", "SSL_", "REQUESTS_", "CURL_", "MAKE", "COVERAGE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}

    def run(*variables: str, trusted: bool = True) -> subprocess.CompletedProcess[str]:
        mount = f"mount --bind {trusting} {STORE} && " if trusted else ""
        command = f"{mount}exec make -C {checkout} -f {ROOT / 'Makefile'} install PYTHON={sys.executable}"
        with serving(index, authority) as url:
            indexes = {"PIP_INDEX_URL": url, "UV_DEFAULT_INDEX": url}
            quick = {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0", "UV_NO_CACHE": "1"}
            return subprocess.run(
                [*ISOLATED, "bash", "-c", " ".join([command, *variables])],
                env=environment | indexes | quick | {"HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )

    return run


def test_an_authority_in_the_systems_store_is_enough_by_uvs_setting(make: Make, tmp_path: Path) -> None:
    done = make("UV_SYSTEM_CERTS=false")
    assert done.returncode != 0
    assert "invalid peer certificate: UnknownIssuer" in done.stderr

    done = make()
    assert done.returncode == 0, done.stderr
    shown: list[str | Path] = [tmp_path / "checkout/.venv/bin/python", "-c", "import tiny; print(tiny.size)"]
    assert subprocess.run(shown, capture_output=True, text=True, check=True).stdout == "1\n"


def test_an_unknown_authority_is_refused(make: Make) -> None:
    done = make(trusted=False)
    assert done.returncode != 0
    assert "No matching distribution found for uv==" in done.stderr  # pip, told to be quiet, says no more
