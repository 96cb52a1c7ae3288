"""Files as they really are: behind links, in a repository or not, and whether git would take them.

What a pull request holds may be made to mislead: a link in place of a file, a name that is `.git` for some file system.
Whatever is written, by a destination or by a command, is looked at here first, and goes to the disk as a whole or not
at all, by `put`, `put_new` or `write_files`: no other place of the program writes a file that lasts.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_GIT: Final = ".git"
_GITS: Final = re.compile(r"\.(?:git|github)|(?:git|github)~[0-9]+")
"""What git and GitHub act on; with the short names that Windows makes of them."""

_NO_FILES: Final = ("/dev/", "/proc/", "/sys/")
_FILES: Final = "/dev/shm/"  # noqa: S108  # a file system in memory, of ordinary files
_MOST_LINKS: Final = 40  # as many as Linux follows

_SECONDS: Final = 60
_CAREFUL: Final = ("-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit")
"""What is checked out may be anybody's: no program of its configuration runs, and a folder of it is no repository."""


def default_path() -> Path:
    """Name the declaration where nobody does: keys.yaml, else the folder keys/ if it holds a file of a declaration."""
    file, folder = Path("keys.yaml"), Path("keys")
    return folder if not file.exists() and any(folder.glob("*.yaml")) else file


def real_path(path: str | Path) -> str:
    """Return the absolute path behind all symbolic links, also of what does not exist (yet).

    `Path.resolve` raises on a circle of links; here the circle stays in the path, and opening it fails.
    """
    return os.path.realpath(path)


def repository_of(path: str | Path) -> str | None:
    """Return the real path of the top folder of the git work tree that a path is in, None where it is in none.

    The nearest folder that holds an entry `.git` counts, as it does for git. Git itself isn't asked: its answer would
    depend on variables and on who owns the folder.
    """
    folder = real_path(path)
    while not os.path.lexists(os.path.join(folder, _GIT)):  # noqa: PTH118  # text is faster, and there may be many
        above = os.path.dirname(folder)  # noqa: PTH120
        if above == folder:
            return None
        folder = above
    return folder


def is_within(path: str, folder: str) -> bool:
    """Return whether a real path is that of a folder or of something below it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def link_out(path: str | Path) -> str | None:
    """Return the first symbolic link on the way to a path that leads out of its repository or into `.git`, or None.

    Where there is no repository, the working directory stands for it, or the folder of the file if that is elsewhere.
    """
    working = real_path("")
    place = working if not os.path.isabs(path) else "/"  # noqa: PTH117
    parts = [part for part in str(path).split("/") if part not in {"", "."}]
    for number, part in enumerate(parts, start=1):
        if part == "..":
            place = os.path.dirname(place)  # noqa: PTH120
            continue
        step = os.path.join(place, part)  # noqa: PTH118
        if os.path.islink(step):  # noqa: PTH114
            real = real_path(step)
            top = repository_of(place) or (working if is_within(place, working) else None)
            top = top or (place if number == len(parts) else None)
            if top is not None and (not is_within(real, top) or _GIT in real.removeprefix(top).split("/")):
                return step
            step = real
        place = step
    return None


# How a file is replaced: as a whole or not at all.

PREFIX: Final = ".reconciler-"
SUFFIX: Final = ".tmp"
"""Names of temporary files, which a killed process may leave behind."""


@contextmanager
def opened(folder: str | Path) -> Iterator[int]:
    """Yield the descriptor of a folder; what goes by it stays in that folder, should somebody move it meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def beside(folder: int, content: bytes, mode: int | None) -> str:
    """Write a temporary file, which is on the disk then, and give its name; `mode` None leaves it to the umask.

    Raises OSError, and leaves nothing behind, when that fails.
    """
    temporary = f"{PREFIX}{os.urandom(8).hex()}{SUFFIX}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, 0o666 if mode is None else mode, dir_fd=folder)
    try:
        try:
            if mode is not None:
                os.fchmod(descriptor, mode)  # whatever the umask took away
            _write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        discard(folder, temporary)
        raise
    return temporary


def put(folder: int, name: str, content: bytes, mode: int | None) -> None:
    """Make this the content of a file, whole on the disk; that it has this name lasts once the folder is synced too.

    Raises OSError: the file is as it was, and nothing else is left behind.
    """
    temporary = beside(folder, content, mode)
    try:
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        discard(folder, temporary)
        raise


def put_new(folder: int, name: str, content: bytes) -> None:
    """Make a file of this content, whole on the disk; the umask decides its mode, and the folder is synced too.

    Raises OSError, FileExistsError where there is one already: that is left as it is, and nothing else behind.
    """
    temporary = beside(folder, content, None)
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)  # unlike a rename, it replaces nothing
        os.fsync(folder)
    finally:
        discard(folder, temporary)


def discard(folder: int, temporary: str) -> None:
    """Remove a temporary file, if it is still there."""
    with suppress(OSError):
        os.unlink(temporary, dir_fd=folder)


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


# Files that people name: declarations, and the results that commands write.


def write_files(contents: Mapping[Path, bytes], before: Mapping[Path, bytes]) -> None:
    """Write files, of which those in `before` held this until now and the others did not exist.

    All are written beside their places and are on the disk before the first one is moved there. A file keeps its mode,
    and a symbolic link goes on to point at it.

    Raises:
        UsageError: a file is not as it was, or can't be written; those that are named are replaced, no other.
    """
    for path in contents:
        refuse_link(path)
    done: list[str] = []
    path = Path()
    with ExitStack() as stack:
        folders: dict[Path, int] = {}
        ready: dict[Path, tuple[int, str, str]] = {}
        try:
            for path, content in contents.items():
                real = Path(real_path(path))
                if real.parent not in folders:
                    folders[real.parent] = stack.enter_context(opened(real.parent))
                folder = folders[real.parent]
                temporary = beside(folder, content, _mode_of(real))
                stack.callback(discard, folder, temporary)
                ready[path] = (folder, temporary, real.name)
            for path, (folder, temporary, name) in ready.items():
                _check(path, before.get(path))
                # A link, unlike a rename, replaces nothing.
                place = os.replace if path in before else os.link
                place(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
                done.append(str(path))
        except OSError as error:
            written = f"; written before that: {', '.join(done)}" if done else ""
            msg = f"{path} can't be written: {error.strerror}{written}"
            raise UsageError(msg) from error


def _mode_of(file: Path) -> int | None:
    """Return the mode of a file, None where there is none."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(file.stat().st_mode)
    return None


def _check(path: Path, before: bytes | None) -> None:
    if before is not None and path.read_bytes() != before:
        msg = f"{path} has been changed meanwhile; it is left as it is now, run the command again"
        raise UsageError(msg)


# A file that a command writes for others to read.


def check_output(file: Path, *, example: str, declaration: Path | None = None, option: str = "--out") -> None:
    """Refuse to write over a declaration, to what git acts on, or into a folder without a name; raises UsageError."""
    real = Path(real_path(file))
    # `-` is standard output here, and standard input where it is the declaration.
    is_declared = declaration is not None and str(file) != "-" and real == Path(real_path(declaration))
    if is_declared or any(each.suffix.lower() in {".yaml", ".yml"} for each in (file, real)):
        leads = "looks like" if file.suffix == real.suffix else "leads to"
        msg = f"{option} {file} {leads} a declaration, which is not overwritten; give it another name, like {example}"
        raise UsageError(msg)
    refuse_link(file, option)
    if file.is_dir():
        msg = f"{option} {file} is a folder; name a file in it, like {file / example}"
        raise UsageError(msg)


def refuse_link(file: Path, option: str = "") -> None:
    """Refuse to write where a link that was checked in may lead, with UsageError; one to a device is another matter."""
    if (link := link_out(file)) and (not file.exists() or file.is_file() or file.is_dir()):
        what = f"{option} {file}".lstrip()
        msg = f"{what} is not written: {link} is a symbolic link out of its repository; name the file itself"
        raise UsageError(msg)


def write_whole(file: Path, text: str, *, mode: int | None = None) -> None:
    """Replace a file by this text, so that nobody ever sees a part of it; None gives a new file the usual mode.

    What is there and is no file, as a pipe or a device, is written to; a link stays, and what it leads to is replaced.
    Raises UsageError when it cannot be written.
    """
    refuse_link(file, "--out")
    try:
        if file.exists() and not stat.S_ISREG(file.stat().st_mode):
            file.write_text(text, "utf-8")
        else:
            real = Path(real_path(file))
            with opened(real.parent) as folder:
                put(folder, real.name, text.encode(), _mode_of(real) if mode is None else mode)
                os.fsync(folder)
    except OSError as error:
        msg = f"--out {file} could not be written: {error.strerror}"
        raise UsageError(msg) from error


# Where nothing may be written, and what git would take.


def why_unfit(path: str, root: str, *, outside: bool) -> str | None:
    """Say, in words that follow the path, why nothing may be written there; None where nothing speaks against it.

    `root` is the real path of the folder that may not be left unless `outside` says so, empty where there is none.
    """
    written, real = os.path.abspath(path), real_path(path)  # noqa: PTH100  # links are the next question
    if any(hop.startswith(_NO_FILES) and not hop.startswith(_FILES) for hop in (real, *_hops(written, real))):
        return "is a device or an open file of a process, and no file of its own"
    for each in dict.fromkeys((written, real)):
        top = root if root and is_within(each, root) else repository_of(os.path.dirname(each)) or ""  # noqa: PTH120
        if _acts(each.removeprefix(top)):
            return "is below .git or .github, whose files act by themselves"
    if root and not outside and not is_within(real, root):
        way = "leads out of" if is_within(written, root) else "is outside of"
        return f"{way} {root}, where nothing is written unless `outside: true` says that it is meant"
    return None


def _hops(written: str, real: str) -> Iterator[str]:
    """Yield what a path leads to, link by link."""
    if written == real:
        return
    path = written
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(path)
        path = os.path.join(real_path(folder), name)  # noqa: PTH118
        yield path
        if not os.path.islink(path):  # noqa: PTH114
            return
        path = os.path.join(os.path.dirname(path), os.readlink(path))  # noqa: PTH115, PTH118, PTH120


def _acts(path: str) -> bool:
    """Return whether a part of a path is .git or .github, as any file system may understand it."""
    if path.isascii() and "git" not in path.lower():
        return False
    # HFS+ leaves invisible characters out, NTFS what follows a colon and dots and spaces at the end; git too takes
    # all of these for .git.
    visible = "".join(each for each in unicodedata.normalize("NFKC", path) if unicodedata.category(each) != "Cf")
    return any(_GITS.fullmatch(part.partition(":")[0].rstrip(". ")) for part in visible.casefold().split("/"))


def not_ignored(paths: Iterable[str]) -> dict[str, str]:
    """Return why git would take files, for those of these real paths that it would; blocks until git has answered.

    A file that is in no work tree is nothing to git. Where git can't be asked, that is the reason.
    """
    trees: dict[str, list[str]] = {}
    for path in paths:
        if root := repository_of(os.path.dirname(path)):  # noqa: PTH120
            trees.setdefault(root, []).append(path)
    return {path: why for root, inside in trees.items() for path, why in _taken(root, inside).items()}


def _taken(root: str, paths: Sequence[str]) -> dict[str, str]:
    asked = "".join(f"{path}\0" for path in paths)
    try:
        ignored = set(_git(root, "check-ignore", "--stdin", "-z", given=asked).split("\0"))
        taken = [path for path in paths if path not in ignored]
        tracked = _git(root, "ls-files", "-z").split("\0") if taken else []
    except _NoAnswer as error:
        return dict.fromkeys(paths, f"git can't be asked whether it ignores the file: {error}")
    known = {path for path in tracked if path}
    folders = {part for path in known for part in _folders(path)}
    return {path: _remedy(os.path.relpath(path, root), known, folders) for path in taken}


def _remedy(path: str, known: Iterable[str], folders: Iterable[str]) -> str:
    folder = os.path.dirname(path)  # noqa: PTH120
    line = f"/{path}" if not folder or folder in folders else f"/{folder}/"
    line = re.sub(r"([\\*?\[ ])", r"\\\1", line)
    meant = "or say `tracked: true` where the secrets are meant to be committed"
    if path in known:
        return f"git tracks {path}: run `git rm --cached {path}` and add the line {line} to .gitignore, {meant}"
    return f"git would take {path} into a commit: add the line {line} to .gitignore, {meant}"


def _folders(path: str) -> Iterator[str]:
    while path := os.path.dirname(path):  # noqa: PTH120
        yield path


class _NoAnswer(Exception):
    """Git did not answer; the message says why."""


def _git(folder: str, *arguments: str, given: str = "") -> str:
    """Ask git about the work tree that it finds from a folder, whatever variables say of another one."""
    import subprocess  # a file without dotenv destinations asks git nothing

    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    try:
        done = subprocess.run(  # noqa: S603  # an argv, no shell
            ["git", *_CAREFUL, "-C", folder, *arguments],  # noqa: S607  # the git of the machine
            check=False,
            capture_output=True,
            input=os.fsencode(given),
            env={**environment, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _NoAnswer(getattr(error, "strerror", None) or f"no answer within {_SECONDS} s") from None
    if done.returncode not in {0, 1}:  # 1 of check-ignore: it ignores none of them
        raise _NoAnswer(" ".join(done.stderr.decode(errors="replace").split()) or f"it ended with {done.returncode}")
    return os.fsdecode(done.stdout)


# The JSON schemas that ship with the program.

_HERE: Final = Path(__file__).parent
_SCHEMAS: Final = (_HERE / "schemas", _HERE.parent / "schemas")  # in the wheel; in a checkout


def shipped_schema(name: str) -> bytes:
    """Return the bytes of a schema, like `keys.schema.json`; raises StopIteration for one that isn't shipped."""
    return next(path for folder in _SCHEMAS if (path := folder / name).is_file()).read_bytes()
