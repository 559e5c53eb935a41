"""Where one copy of Huntaze keeps its state on this machine, and who may enter there."""

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent

# PostgreSQL allows 93 characters for the folder of its socket; ours adds 20 to the temporary folder.
# Everything else is refused because URLs and configuration files would each need another escape.
_PLAIN_TEMP = re.compile(r"/[A-Za-z0-9._/-]{1,60}")


_ENDING_SECONDS = 30
# Who may use a state folder at a time: a process manager and its two services, or these alone.
LOCKS = ("stack", "postgres", "redis")


class StartError(Exception):
    """Something on this machine is in the way. The message is one line and says what would be right."""


@dataclass(frozen=True)
class Home:
    """The state folder (HUNTAZE_HOME) and what lies below it. Computing a path creates nothing."""

    path: Path

    @classmethod
    def of(cls, path: Path) -> "Home":
        return cls(path.resolve())

    @classmethod
    def from_environment(cls) -> "Home":
        return cls.of(Path(os.environ.get("HUNTAZE_HOME") or CLONE / "var"))

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def instance(self) -> str:
        """A random name made at first start, empty before: a new clone at an old place is another one."""
        try:
            return (self.path / "instance-id").read_text().strip()
        except FileNotFoundError:
            return ""

    @property
    def sockets(self) -> Path:
        """The private folder for Unix sockets: short, because a socket's path is cut at 107 characters."""
        key = hashlib.sha256(f"{self.path}\0{self.instance}".encode()).hexdigest()[:12]
        return _temporary() / f"hz-{key}"

    @property
    def postgres_sockets(self) -> Path:
        """Apart from the others because, for root, it belongs to the user that PostgreSQL runs as."""
        return self.sockets.with_name(f"{self.sockets.name}-pg")

    def prepare(self) -> None:
        """Create what is missing.

        Raises StartError where a folder isn't writable or the sockets' folder is somebody else's.
        """
        with one_line("create", self.path):
            for folder in (self.path, self.log, self.run):
                folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.run, os.W_OK):
                raise PermissionError(13, "Permission denied", str(self.run))
            with contextlib.suppress(FileExistsError):
                write_once(self.path / "instance-id", secrets.token_hex(8))
        private_folder(self.sockets, owner=os.geteuid())

    def remove_sockets(self, *, held: Collection[str] = ()) -> None:
        """Remove the sockets' folders unless somebody uses them; `held` are locks that the caller has.

        Whoever needs one makes it while holding a lock of these, so it is never taken from under them.
        """
        with contextlib.suppress(StartError), contextlib.ExitStack() as locks:
            for name in LOCKS:
                if name not in held:
                    locks.enter_context(self.lock(name))
            for folder in (self.sockets, self.postgres_sockets):
                with contextlib.suppress(OSError):  # not there, or not empty
                    folder.rmdir()

    def holder(self, name: str) -> int:
        """The process id of who holds the lock NAME, or held it last; 0 if nobody ever did."""
        try:
            return int((self.run / f"{name}.lock").read_text() or 0)
        except FileNotFoundError:
            return 0

    @contextlib.contextmanager
    def lock(self, name: str, *, wait: float = 0) -> Iterator[int]:
        """Hold the lock NAME; yields its descriptor, which a process may hand on across exec.

        Raises StartError, naming the holder's process id, when it isn't free within `wait` seconds. What a
        holder that has died left behind gets 30 seconds to end.
        """
        path = self.run / f"{name}.lock"
        with one_line("open", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            started = time.monotonic()
            while not _try_lock(descriptor):
                holder = os.pread(descriptor, 20, 0).decode()
                if time.monotonic() - started >= (wait if _alive(holder) else _ENDING_SECONDS):
                    raise StartError(f"{name} is already running for {self.path} (pid {holder})")
                time.sleep(0.05)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)


def private_folder(path: Path, *, owner: int) -> None:
    """Create `path` with mode 0700 for `owner`, or check that it is just that.

    Raises StartError when it is a link, another user's, or open to others: in a shared temporary folder
    anybody could have put it there first.
    """
    with one_line("create", path), contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        path.chmod(0o700)
        os.chown(path, owner, -1)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise StartError(
            f"{path} must be a folder of user id {owner} with mode 0700, and isn't: remove it, or set TMPDIR"
        )


def write_once(path: Path, text: str) -> None:
    """Write a file of mode 0600 that is there whole or not at all; FileExistsError when it is there."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        os.unlink(draft)


@contextlib.contextmanager
def one_line(verb: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a StartError that names the folder and the way out."""
    try:
        yield
    except OSError as error:
        raise StartError(
            f"cannot {verb} {path}: {error.strerror}; make it writable or set HUNTAZE_HOME to another"
        ) from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: str) -> bool:
    # Not yet written counts as alive: whoever holds the lock has only just taken it.
    return not pid or Path(f"/proc/{pid}").exists()


def _temporary() -> Path:
    """TMPDIR where sockets can live in it, else /tmp.

    As root it must also let the user in that PostgreSQL runs as. tempfile.gettempdir() won't do: it falls
    back to the working directory, so two processes of one clone would look in different places.
    """
    given = os.environ.get("TMPDIR", "").rstrip("/")
    if not _PLAIN_TEMP.fullmatch(given) or not os.path.isdir(given):
        return Path("/tmp")  # noqa: S108 -- the folder made in it is private and checked
    real = Path(given).resolve()
    if os.geteuid() == 0 and not all(folder.stat().st_mode & 0o001 for folder in (real, *real.parents)):
        return Path("/tmp")  # noqa: S108 -- as above
    return Path(given)
