"""The hint that brings an extra names the command that fits how reconciler was installed."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, PathDistribution
from typing import TYPE_CHECKING, Any

import pytest

from reconciler import installation
from reconciler.installation import NAME, Installation, Installer, command_for, installing

if TYPE_CHECKING:
    from pathlib import Path

METADATA = """\
Metadata-Version: 2.4
Name: naga-reconciler
Version: 0.2.0
Requires-Dist: click>=8.2
Requires-Dist: starlette>=0.46; extra == 'simulator'
Requires-Dist: uvicorn>=0.34; extra == 'simulator'
Requires-Dist: pyjwt[crypto]>=2.10; extra == 'github'
Requires-Dist: pynacl>=1.5; extra == 'github'
Requires-Dist: naga-reconciler[github,simulator]; extra == 'all'
"""


@pytest.mark.parametrize(
    ("installer", "origin", "command"),
    [
        (Installer.PIP, {}, "/x/bin/python -m pip install 'naga-reconciler[vault]==0.2.0'"),
        (Installer.UV, {}, "uv pip install --python /x 'naga-reconciler[vault]==0.2.0'"),
        (Installer.UV_TOOL, {}, "uv tool install --force 'naga-reconciler[age,vault]==0.2.0'"),
        (
            Installer.PIPX,
            {"source": "file:///w/a.whl"},
            "pipx install --force 'naga-reconciler[age,vault] @ file:///w/a.whl'",
        ),
        (Installer.PIPX, {"editable": "/w"}, "pipx install --force --editable '/w[age,vault]'"),
        (Installer.PIP, {"editable": "/w w"}, "/x/bin/python -m pip install --editable '/w w[vault]'"),
    ],
)
def test_each_way_to_install_has_its_command(installer: Installer, origin: dict[str, str], command: str) -> None:
    installed = Installation("/x", "/x/bin/python", installer, "0.2.0", extras=frozenset({"age"}), **origin)
    assert command_for("vault", installed) == command


def installed_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...] = (), **files: str
) -> Installation:
    """Find out about an installation whose package has these files, beside the packages that are `there`."""
    info = folder / "naga_reconciler-0.2.0.dist-info"
    info.mkdir()
    for name, text in {"METADATA": METADATA, **files}.items():
        (info / name.replace("direct_url", "direct_url.json")).write_text(text)

    def find(name: str) -> Any:
        if name == NAME:
            return PathDistribution(info)
        if name in there:
            return None
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "distribution", find)
    monkeypatch.setattr(sys, "prefix", str(folder))
    return installation.installation()


@pytest.mark.parametrize(
    ("kept", "by", "installer"),
    [
        ("uv-receipt.toml", "uv\n", Installer.UV_TOOL),
        ("pipx_metadata.json", "pip\n", Installer.PIPX),
        (None, "uv\n", Installer.UV),
        (None, "pip\n", Installer.PIP),
        (None, None, Installer.PIP),
    ],
)
def test_what_has_installed_it_is_known_by_what_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str | None, by: str | None, installer: Installer
) -> None:
    if kept:
        (tmp_path / kept).touch()
    found = installed_in(tmp_path, monkeypatch, (), **({} if by is None else {"INSTALLER": by}))
    assert found == Installation(str(tmp_path), sys.executable, installer, "0.2.0")


@pytest.mark.parametrize(
    ("told", "source", "editable"),
    [
        ({"url": "file:///w/a.whl", "archive_info": {"hash": "sha256=0"}}, "file:///w/a.whl", ""),
        ({"url": "file:///w%20w", "dir_info": {"editable": True}}, "", "/w w"),
        ({"url": "file:///w", "dir_info": {}}, "file:///w", ""),
        ({"url": "https://h/r", "vcs_info": {"vcs": "git", "commit_id": "0a"}}, "git+https://h/r@0a", ""),
    ],
)
def test_where_it_came_from_is_where_the_extra_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, object], source: str, editable: str
) -> None:
    found = installed_in(tmp_path, monkeypatch, direct_url=json.dumps(told))
    assert (found.source, found.editable) == (source, editable)


def test_an_extra_is_there_when_all_of_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed_in(tmp_path, monkeypatch, ("click", "starlette", "uvicorn", "pyjwt"))
    assert found.extras == {"simulator"}


def test_a_checkout_that_is_not_installed_is_installed_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "distribution", find)
    checkout = installation.installation().editable
    assert f"{checkout}[vault]" in installing("vault")
