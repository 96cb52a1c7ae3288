"""How reconciler was installed, as far as hints need it: the command that brings one of its extras there."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

NAME: Final = "naga-reconciler"


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
    """Give the command that adds an extra to this installation, to be typed into a shell."""
    return command_for(extra, installation())


def command_for(extra: str, installed: Installation) -> str:
    """Give the command that adds an extra to an installation.

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
    return url, ""


def _extras(package: Distribution) -> frozenset[str]:
    """Give the extras of which everything is installed."""
    complete: dict[str, bool] = {}
    for requirement in package.requires or ():
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if name and extra and name[0] != NAME:
            complete[extra[1]] = complete.get(extra[1], True) and _is_installed(name[0])
    return frozenset(extra for extra, there in complete.items() if there)


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
