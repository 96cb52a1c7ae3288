"""How reconciler was installed: the command that adds an extra, and how a job elsewhere installs the very same.

A job that holds a provisioning key installs nothing that somebody else could put in its place. So `pinned` returns a
folder with a complete list of hashes, reconciler included: by default the wheel of what runs here, packed anew, which
needs neither a release nor an index. No name is left for an index to answer with something newer.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shlex
import sys
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from reconciler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NAME: Final = "naga-reconciler"
REQUIREMENTS: Final = "requirements.txt"


class Installer(Enum):
    """What put reconciler where it is."""

    UV_TOOL = "uv tool"
    PIPX = "pipx"
    UV = "uv"
    PIP = "pip"


# uv and pipx leave these at the top of the environment that they keep for a program.
_KEEPERS: Final = {"uv-receipt.toml": Installer.UV_TOOL, "pipx_metadata.json": Installer.PIPX}


@dataclass(frozen=True, slots=True)
class Installation:
    """Where reconciler is installed, by what, and from where.

    `source` is what follows `@` in a requirement, empty for a release of `version` from an index; `editable` is the
    folder of a checkout that is used as it is. `extras` are those that are there already.
    """

    prefix: str
    python: str
    installer: Installer
    version: str
    source: str = ""
    editable: str = ""
    extras: frozenset[str] = frozenset()


def installing(extra: str) -> str:
    """Return the command that adds an extra to this installation, to be typed into a shell."""
    return command_for(extra, installation())


def command_for(extra: str, installed: Installation) -> str:
    """Return the command that adds an extra to an installation.

    uv tool and pipx make the environment anew, so for them the extras that are there already are named too.
    """
    anew = installed.installer in (Installer.UV_TOOL, Installer.PIPX)
    extras = ",".join(sorted({extra, *(installed.extras if anew else ())}))
    words = {
        Installer.UV_TOOL: ["uv", "tool", "install", "--force"],
        Installer.PIPX: ["pipx", "install", "--force"],
        Installer.UV: ["uv", "pip", "install", "--python", installed.prefix],
        Installer.PIP: [installed.python, "-m", "pip", "install"],
    }[installed.installer]
    if installed.editable:
        return shlex.join([*words, "--editable", f"{installed.editable}[{extras}]"])
    # With its version: a bare name could bring another release, or what somebody else has put in its place.
    rest = f" @ {installed.source}" if installed.source else f"=={installed.version}"
    return shlex.join([*words, f"{NAME}[{extras}]{rest}"])


def installation() -> Installation:
    """Find out how reconciler was installed."""
    prefix = Path(sys.prefix)
    keeper = next((keeper for file, keeper in _KEEPERS.items() if (prefix / file).is_file()), None)
    try:
        package = distribution(NAME)
    except PackageNotFoundError:  # run from a checkout that is only on sys.path
        return Installation(sys.prefix, sys.executable, Installer.PIP, "", editable=str(Path(__file__).parents[1]))
    by_uv = (package.read_text("INSTALLER") or "").strip() == "uv"
    source, editable = _origin(package)
    return Installation(
        sys.prefix,
        sys.executable,
        keeper or (Installer.UV if by_uv else Installer.PIP),
        package.version,
        source,
        editable,
        _extras(package),
    )


def _origin(package: Distribution) -> tuple[str, str]:
    """Read where a package came from, as `direct_url.json` tells (PEP 610): the source, and the folder if editable."""
    told = json.loads(package.read_text("direct_url.json") or "{}")
    url = told.get("url", "")
    if told.get("dir_info", {}).get("editable"):
        return "", unquote(urlsplit(url).path)
    if vcs := told.get("vcs_info"):
        return f"{vcs['vcs']}+{url}@{vcs['commit_id']}", ""
    digest = told.get("archive_info", {}).get("hashes", {}).get("sha256")
    return f"{url}#sha256={digest}" if digest and "#" not in url else url, ""


def _extras(package: Distribution) -> frozenset[str]:
    """Return the extras of which everything is installed."""
    complete: dict[str, bool] = {}
    for name, extra in _requires(package):
        if extra:
            complete[extra] = complete.get(extra, True) and _is_installed(name)
    return frozenset(extra for extra, there in complete.items() if there)


def _requires(package: Distribution) -> Iterator[tuple[str, str]]:
    """Yield the packages that reconciler itself asks for, each with the extra that it belongs to, if any."""
    for requirement in package.requires or ():
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if name and name[0] != NAME:
            yield name[0], extra[1] if extra else ""


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


# --- what a job installs ----------------------------------------------------------------------------------------------

_HERE: Final = Path(__file__).parent
_BESIDE: Final = {"schemas": "*.json", "requirements": "runtime.txt"}
"""What a wheel has inside the package, and a checkout beside it."""
_HEAD: Final = """\
# All that a job installs, by its hash. Made by `reconciler init`; for another version remove the folder and run that
# again. To install it, in this folder: pip install --no-deps --only-binary :all: --require-hashes -r requirements.txt
"""
_PIN: Final = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==[^\n]*\n(?:    --hash=[^\n]*\n)+(?P<via>(?:    #[^\n]*\n)*)", re.MULTILINE
)
_SHA256: Final = "sha256[:=](?P<sha256>[0-9a-f]{64})"
_RELEASE: Final = re.compile(rf"{NAME}(?:\[[\w,-]*\])?==(?P<version>[\w.+!-]+)(?: +--hash={_SHA256})+")
_ADDRESS: Final = re.compile(rf"(?:{NAME}(?:\[[\w,-]*\])? *@ *)?(?P<url>https://[^\s#]+\.whl)#{_SHA256}")
_ABOUT: Final = re.compile(r"[^/]+\.dist-info/(?:METADATA|WHEEL|entry_points\.txt|licenses/.+)")
"""Of the metadata, what a wheel brings; the rest is what its installer has written for itself."""


def pinned(extras: Iterable[str], package: str | None = None) -> dict[str, bytes]:
    """Return the files of a folder from which pip installs reconciler with these extras, everything by its hash.

    `package` is the path of a wheel, the https address of one followed by `#sha256=` and its hash, or
    `naga-reconciler==VERSION --hash=sha256:…`. By default it is what runs here. A wheel that is on this machine becomes
    one of the files. Raises UsageError where no hash can be known, and says how to give it.
    """
    files: dict[str, bytes] = {}
    if package is not None and (release := _RELEASE.fullmatch(package.strip())):
        own = re.sub(r"\[.*?\]", "", release[0])
    elif package is not None and (address := _ADDRESS.fullmatch(package.strip())):
        own = f"{NAME} @ {address['url']} --hash=sha256:{address['sha256']}"
    else:
        name, wheel = _pack() if package is None else _wheel(package)
        files[name] = wheel
        own = f"./{name} --hash=sha256:{hashlib.sha256(wheel).hexdigest()}"
    return {**files, REQUIREMENTS: f"{_HEAD}{own}\n{''.join(_pins(extras).values())}".encode()}


def pinned_names(requirements: str) -> set[str]:
    """Return what a list of `pinned` has, reconciler as `naga-reconciler` with its version where it tells it."""
    own = re.search(r"(?:naga_reconciler-|naga-reconciler==)([\w.+!]+)", requirements)
    return {*re.findall(r"^([a-z0-9.-]+)==", requirements, re.MULTILINE)} - {NAME} | {f"{NAME} {own[1] if own else ''}"}


def _pins(extras: Iterable[str]) -> Mapping[str, str]:
    """Return the pins of what these extras need, and of what that needs, from the list that ships with the program."""
    text = next(path for folder in (_HERE, _HERE.parent) if (path := folder / "requirements" / "runtime.txt").is_file())
    pins = {pin["name"]: pin for pin in _PIN.finditer(text.read_text("utf-8"))}
    chosen = {"", *extras}
    needed = {re.sub(r"[-_.]+", "-", name).lower() for name, extra in _requires(_package()) if extra in chosen}
    while more := {
        name
        for name, pin in pins.items()
        if name not in needed and needed & {*re.findall(r"^ +#(?: via)? +([a-z0-9.-]+)", pin["via"], re.MULTILINE)}
    }:
        needed |= more
    return {name: pin[0].removesuffix(pin["via"]) for name, pin in pins.items() if name in needed}


def _package() -> Distribution:
    try:
        return distribution(NAME)
    except PackageNotFoundError:
        msg = "reconciler is not installed here, so what a job installs cannot be pinned: install it as the README says"
        raise UsageError(msg) from None


def _wheel(package: str) -> tuple[str, bytes]:
    """Read a wheel on this machine."""
    path = Path(unquote(urlsplit(package).path) if package.startswith("file:") else package)
    if not re.fullmatch(r"naga_reconciler-[\w.+!]+-py3-none-any\.whl", path.name):
        msg = (
            f"--package {package} has no hash, so somebody else could put something in its place; write the path of a "
            f"wheel, https://….whl#sha256=…, or '{NAME}==VERSION --hash=sha256:…' (SHA256SUMS of the release has it)"
        )
        raise UsageError(msg)
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        msg = f"--package {path} cannot be read: {error.strerror}"
        raise UsageError(msg) from None


def _pack() -> tuple[str, bytes]:
    """Make a wheel of what runs here, the same bytes each time."""
    package = _package()
    files = dict(sorted((_checkout if _origin(package)[1] else _installed)(package)))
    about = next(name.partition("/")[0] for name in files if name.endswith(".dist-info/METADATA"))
    listed = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{about}/RECORD"] = f"{listed}{about}/RECORD,,\n".encode()
    stream = io.BytesIO()
    with ZipFile(stream, "w", ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = ZipInfo(name, (2020, 2, 2, 0, 0, 0))
            entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o100644 << 16
            archive.writestr(entry, data)
    return f"{about.removesuffix('.dist-info')}-py3-none-any.whl", stream.getvalue()


def _installed(package: Distribution) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an installed wheel; raises UsageError where one is not what was installed."""
    # Not `files` of the package: since Python 3.12 it leaves out what is missing.
    for name, expected, _ in csv.reader((package.read_text("RECORD") or "").splitlines()):
        if name.endswith(".pyc") or not (name.startswith(f"{_HERE.name}/") or _ABOUT.fullmatch(name)):
            continue
        try:
            data = Path(str(package.locate_file(name))).read_bytes()
        except OSError:
            data = b""
        if expected != f"sha256={_digest(data)}":
            msg = f"{name} is not what was installed, so what a job would install cannot be pinned: install it anew"
            raise UsageError(msg)
        yield name, data


def _checkout(package: Distribution) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a checkout that is used as it is, as a wheel of it would have them."""
    for path in _HERE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(_HERE.parent).as_posix(), path.read_bytes()
    for folder, pattern in _BESIDE.items():
        for path in (_HERE.parent / folder).glob(pattern):
            yield f"{_HERE.name}/{folder}/{path.name}", path.read_bytes()
    for record in package.files or ():
        if _ABOUT.fullmatch(record.as_posix()):
            yield record.as_posix(), record.read_binary()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")


def need_extra(extra: str, *modules: str) -> None:
    """See to it that the libraries of an extra are there; raises UsageError, which says how to install them."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        msg = f"{' and '.join(missing)} cannot be imported; install: {installing(extra)}"
        raise UsageError(msg)
