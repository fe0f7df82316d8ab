"""Write ``.env``, the settings and fresh secrets of docker-compose.yaml, from ``.env.example``.

An ``.env`` that exists keeps every value that it has; what it lacks is added.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

# The user of the official Airflow image; root must not own what the containers write.
IMAGE_UID = 50000


def _password() -> str:
    """256 bits, in characters that need no escaping in a URL."""
    return secrets.token_hex(32)


def _fernet_key() -> str:
    """A key as :class:`cryptography.fernet.Fernet` takes it: 32 random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _jwt_secret() -> str:
    """512 bits, the least that HS512 (Airflow's default algorithm for its tokens) asks for."""
    return secrets.token_hex(64)


def _user_id() -> str:
    return str(os.getuid() or IMAGE_UID)


GENERATED: Mapping[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": _password,
    "REDIS_PASSWORD": _password,
    "FERNET_KEY": _fernet_key,
    "JWT_SECRET": _jwt_secret,
    "API_SECRET_KEY": _password,
    "ADMIN_PASSWORD": lambda: secrets.token_urlsafe(18),
    "AIRFLOW_UID": _user_id,
}

_ASSIGNMENT = re.compile(r"^(?:export +)?([A-Za-z_]\w*)=(.*)$", re.MULTILINE)


def fill(text: str) -> str:
    """``text``, the content of an env file, with a fresh value for every empty variable in :data:`GENERATED`."""

    def value(match: re.Match[str]) -> str:
        make = GENERATED.get(match[1])
        return f"{match[0]}{make()}" if make and not match[2] else match[0]

    return _ASSIGNMENT.sub(value, text)


def complete(existing: str, template: str) -> str:
    """``existing``, filled, with the assignments of ``template`` that it lacks at its end."""
    present = {match[1] for match in _ASSIGNMENT.finditer(existing)}
    missing = [match[0] for match in _ASSIGNMENT.finditer(fill(template)) if match[1] not in present]
    if missing:
        existing = "\n".join([existing, "# Added by make env; .env.example says what they are.", *missing, ""])
    return fill(existing)


def write_private(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` whole or not at all, readable by its owner alone."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".env.")  # mkstemp makes it with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main(arguments: list[str] | None = None) -> None:
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--template", type=Path, default=root / ".env.example", help="names and defaults")
    parser.add_argument("--output", type=Path, default=root / ".env", help="the file to write or complete")
    options = parser.parse_args(arguments)
    template = options.template.read_text(encoding="utf-8")
    existing = options.output.read_text(encoding="utf-8") if options.output.exists() else None
    text = fill(template) if existing is None else complete(existing, template)
    if text == existing:
        print(f"{options.output} has every setting; nothing was changed")
        return
    write_private(options.output, text)
    done = "made, with fresh secrets" if existing is None else "completed; what it had is unchanged"
    print(f"{options.output} {done}. The login is ADMIN_USER and ADMIN_PASSWORD in it.")


if __name__ == "__main__":
    main()
