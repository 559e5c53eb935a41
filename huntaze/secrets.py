"""The secrets that nobody gave: made once, at first start, and kept in the state folder."""

import base64
import contextlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from huntaze.places import StartError, one_line, write_once

# Whose password `admin_password` is.
ADMIN_EMAIL = "admin@localhost"


@dataclass(frozen=True)
class Secrets:
    secret_key: str
    encryption_key: str
    flower_password: str
    admin_password: str


def load(home: Path) -> Secrets:
    """Read `home`/secrets.json (mode 0600), made by whichever process comes first.

    Raises StartError where the file can't be written or isn't what we wrote: replacing it would lose the
    key that stored credentials are encrypted with.
    """
    path = home / "secrets.json"
    try:
        text = path.read_text()
    except FileNotFoundError:
        with one_line("write", path):
            home.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                write_once(path, json.dumps(asdict(_fresh()), indent=2))
            text = path.read_text()
    except PermissionError as error:
        raise StartError(f"{path} belongs to another user: start as that user or set HUNTAZE_HOME") from error
    try:
        kept = json.loads(text)
        return Secrets(**{field.name: str(kept[field.name]) for field in fields(Secrets)})
    except (ValueError, KeyError, TypeError) as error:
        raise StartError(
            f"{path} is damaged: restore it, stored credentials can't be read without"
        ) from error


def _fresh() -> Secrets:
    return Secrets(
        secret_key=secrets.token_urlsafe(48),
        # What cryptography's Fernet.generate_key() does, without importing it.
        encryption_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
        flower_password=secrets.token_urlsafe(12),
        admin_password=secrets.token_urlsafe(12),
    )
