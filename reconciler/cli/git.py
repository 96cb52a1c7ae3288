"""What git knows: the declaration at a revision, and the repository that a folder is in."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.cli.console import note
from reconciler.declaration import SourceFile
from reconciler.declaration.destinations import Earlier, fingerprint_of
from reconciler.errors import UsageError
from reconciler.files import repository_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_EMPTY: Final = b"version: 1\nenvironments: {}\n"
_LINK: Final = "120000"
_NAMED: Final = re.compile(r"(?P<revision>(?:[^:{]|\{[^}]*\})+):(?P<path>.+)", re.DOTALL)
"""REV:PATH, where the revision may hold a time in braces, `HEAD@{10:00}`."""
# What is checked out may be anybody's pull request. A folder of it that looks like a repository is none, or its own
# configuration would count; and an object that is missing is not fetched, which would start programs.
_CAREFUL: Final = ("-c", "safe.bareRepository=explicit")
_ENVIRONMENT: Final = {"GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_TERMINAL_PROMPT": "0"}


def sources_at(revision: str, file: Path) -> list[SourceFile]:
    """Read a file, or the `*.yaml` of a folder, as they were at a revision; where nothing was, nothing was declared.

    A folder that has replaced a file, or a file a folder, is found as what it was: `keys/` as `keys.yaml`. `REV:PATH`
    names any, PATH from the top of the repository, or with a dot from the current folder. Raises UsageError when there
    is no git, no repository, no such revision or PATH, or something else than a file in its place.
    """
    here = file if file.is_dir() else file.parent
    named = _NAMED.fullmatch(revision)
    if named:
        revision = named["revision"]
    asked = _git(here, revision, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    commit = asked.decode("ascii").strip()
    earlier = Earlier(_fingerprints_at(revision, here, commit), _changed_links(revision, here, commit))
    for folder, wanted in _named_places(named["path"], here) if named else _usual_places(file):
        sources = [
            SourceFile(f"git:{revision}:{name}", folder, _git(here, revision, "cat-file", "blob", identity), earlier)
            for identity, name in _files(folder, revision, commit, wanted)
        ]
        if sources:
            return sources
    if named:
        msg = f"--base git:{revision}:{named['path']}: there is no such file, and no folder with a *.yaml file"
        raise UsageError(msg)
    note(f"There is no {file} at git:{revision}, so nothing was declared there.")
    return [SourceFile(f"git:{revision}:{file.name or file}", here, _EMPTY)]


def _named_places(path: str, here: Path) -> list[tuple[Path, str]]:
    """Return the folder, and the file in it if it is one, that a path of a revision may mean."""
    top = Path() if path.startswith(("./", "../")) else Path(repository_of(here) or "")
    place = top / path
    return [(place, ""), (place.parent, place.name)]


def _usual_places(file: Path) -> list[tuple[Path, str]]:
    """Return where a declaration may have been: where it is, else the file that a folder replaced, or the other way."""
    if not file.is_dir():
        return [(file.parent, file.name), (file.with_suffix(""), "")]
    beside = dict.fromkeys((f"{file.name}.yaml", "keys.yaml")) if file.name else ()
    return [(file, ""), *((file.parent, name) for name in beside if not (file.parent / name).exists())]


def _fingerprints_at(revision: str, folder: Path, commit: str) -> Callable[[str], str]:
    """Return what tells the SHA-256 of what a file held at a commit; what git does not know is as it is now."""
    root = repository_of(folder)

    def fingerprint(real: str) -> str:
        path = real.removeprefix(f"{root}/")
        if path != real:
            with suppress(UsageError):
                return hashlib.sha256(_git(folder, revision, "cat-file", "blob", f"{commit}:{path}")).hexdigest()
            if _git(folder, revision, "ls-files", "--", f":(top,literal){path}"):
                return ""  # the change itself adds it
        return fingerprint_of(real)

    return fingerprint


def _changed_links(revision: str, folder: Path, commit: str) -> frozenset[str]:
    """Return the real paths of symbolic links that git knows and that are, or were at a commit, something else."""
    root = repository_of(folder)
    entries = iter(_git(folder, revision, "diff-index", "--raw", "-z", "--no-renames", commit, "--").split(b"\0"))
    # ":120000 100644 <id> <id> T", and then the path from the top of the repository
    pairs = zip(entries, entries, strict=False)
    return frozenset(
        f"{root}/{os.fsdecode(path)}"
        for about, path in pairs
        if _LINK in os.fsdecode(about).removeprefix(":").split(" ")[:2]
    )


def last_change(file: Path, commit: str) -> str | None:
    """Return the commit by which a branch that ends with `commit` came to the declaration as it is; None if unknown.

    Of a merge, that is the commit of the merge.
    """
    folder, wanted = (file, ":(glob)*.yaml") if file.is_dir() else (file.parent, f":(literal){file.name}")
    walk = ("rev-list", "--max-count=1", "--first-parent", "--end-of-options", commit, "--", wanted)
    try:
        return _git(folder, commit, *walk).decode("ascii").strip() or None
    except UsageError:
        return None


def names_of_revisions(file: Path) -> list[str]:
    """Return the names that a person knows revisions by: HEAD, branches and tags; none where there is no repository."""
    folder = file if file.is_dir() else file.parent
    walk = ("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes", "refs/tags")
    try:
        return ["HEAD", *_git(folder, "HEAD", *walk).decode(errors="replace").splitlines()]
    except UsageError:
        return []


def _files(folder: Path, revision: str, commit: str, wanted: str) -> Iterator[tuple[str, str]]:
    """Yield the ids and names of the files that count in a folder, which may be gone by now."""
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    inside = f"./{folder.relative_to(there)}/".replace("././", "./")
    listed = _git(there, revision, "ls-tree", "-z", commit, inside).decode(errors="replace")
    for entry in listed.split("\0")[:-1]:
        # "100644 blob <id>\t<name>"
        about, _, path = entry.partition("\t")
        name = path.rpartition("/")[2]
        mode, kind, identity = about.split(" ")
        if not _counts(name, wanted) or (kind == "tree" and not wanted):
            continue
        if kind != "blob" or mode == _LINK:
            # Passed over, all that it protects would be forgotten.
            msg = f"{name} is not a file at git:{revision} but a link, a folder or a submodule; give --base a path"
            raise UsageError(msg)
        yield identity, name


def _counts(name: str, wanted: str) -> bool:
    return name == wanted if wanted else name.endswith(".yaml") and not name.startswith(".")


def _git(folder: Path, revision: str, *arguments: str) -> bytes:
    command = ["git", *_CAREFUL, "-C", str(folder), *arguments]
    environment = {**os.environ, **_ENVIRONMENT}
    try:
        done = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603  # an argv, no shell
    except FileNotFoundError:
        msg = f"--base git:{revision} needs the git program, which was not found; give a path instead"
        raise UsageError(msg) from None
    except subprocess.CalledProcessError as error:
        words = " ".join(error.stderr.decode(errors="replace").split()) or "there is no such revision"
        msg = f"--base git:{revision} cannot be read: {words} (in CI, check out with the full history: fetch-depth: 0)"
        raise UsageError(msg) from None
    except ValueError:  # a NUL
        msg = "--base git:REV holds a character that no revision has"
        raise UsageError(msg) from None
    return done.stdout


# What git knows about the repository that a folder is in.

NAME: Final = re.compile(r"[A-Za-z0-9_-]+/[A-Za-z0-9_.-]+?", re.ASCII)
"""owner/name, as GitHub has them."""

PATH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)+", re.ASCII)
"""The path of a project, as GitLab has them: acme/team/api."""

_REMOTE: Final = re.compile(rf"(?:(?:https?|ssh|git)://[^/]+/|[^/:]+:)(?P<path>{PATH.pattern})/?", re.ASCII)
_NOT_GITHUB: Final = re.compile(
    r"(?:[a-z+]+://)?(?:[^@/]+@)?(?P<host>(?:[^/:]*\.)?(?:gitlab|bitbucket)\.[^/:]+)", re.ASCII
)
_USUAL: Final = ("origin/main", "origin/master", "main", "master")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository: its top folder, its default branch and, where a remote tells, its path on the server.

    `name` is that path where it is an owner/name of GitHub, `elsewhere` the host of a remote that is known to be none.
    """

    root: Path
    branch: str
    name: str | None
    elsewhere: str | None = None
    path: str | None = None


def find_repository(folder: Path) -> Repository:
    """Look at the repository that a folder is in.

    Raises:
        UsageError: there is no such folder, it is in no repository, or there is no git program.
    """
    if not folder.is_dir():
        msg = f"{folder} is no folder"
        raise UsageError(msg)
    root = _git_output(folder, "rev-parse", "--show-toplevel")
    if not root:
        msg = f"{folder} is in no git repository, where the workflows would belong; run `git init` in it first"
        raise UsageError(msg)
    url = _git_output(folder, "remote", "get-url", "origin")
    found, other = _REMOTE.fullmatch(url), _NOT_GITHUB.match(url)
    path = found["path"].removesuffix(".git") if found else None
    branch = _default_branch(folder)
    if other:
        return Repository(Path(root).resolve(), branch, None, other["host"], path)
    return Repository(Path(root).resolve(), branch, path if path and NAME.fullmatch(path) else None, None, path)


def _default_branch(folder: Path) -> str:
    """Return the branch that the server calls its default, else a usual or the only one, else what is checked out."""
    if told := _git_output(folder, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"):
        return told.removeprefix("origin/")
    known = _git_output(folder, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes/origin").split(
        "\n"
    )
    for usual in _USUAL:
        if usual in known:
            return usual.removeprefix("origin/")
    for only in ([each for each in known if each.startswith("origin/")], known):
        if len(only) == 1 and only != [""]:
            return only[0].removeprefix("origin/")
    return _git_output(folder, "symbolic-ref", "--quiet", "--short", "HEAD") or "main"


def _git_output(folder: Path, *arguments: str) -> str:
    """Return what git answers; nothing when it cannot."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)  # noqa: S603  # an argv, no shell
    except FileNotFoundError:
        msg = "the git program was not found, which knows where the repository is; install it"
        raise UsageError(msg) from None
    return done.stdout.decode(errors="replace").rstrip("\n") if done.returncode == 0 else ""
