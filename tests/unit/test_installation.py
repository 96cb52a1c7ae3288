"""The hint that brings an extra names the command that fits how reconciler was installed."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
from importlib.metadata import PackageNotFoundError, PathDistribution
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

from reconciler import installation
from reconciler.errors import UsageError
from reconciler.installation import NAME, Installation, Installer, command_for, installing, pinned, pinned_names

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
        ({"url": "https://h/a.whl", "archive_info": {"hashes": {"sha256": "0a"}}}, "https://h/a.whl#sha256=0a", ""),
        ({"url": "https://h/a.whl#x", "archive_info": {"hashes": {"sha256": "0a"}}}, "https://h/a.whl#x", ""),
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


# --- what a job installs ----------------------------------------------------------------------------------------------


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def from_a_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: bytes) -> None:
    """Install a package of one module, as pip leaves it; `changed` after that are files by the end of their names."""
    info = "naga_reconciler-0.2.0.dist-info"
    files = {"reconciler/a.py": b"A = 1\n", f"{info}/METADATA": METADATA.encode(), f"{info}/INSTALLER": b"pip\n"}
    lines = [f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items()]
    lines += ["../../../bin/reconciler,sha256=a,1\n", "reconciler/a.pyc,,\n", f"{info}/RECORD,,\n"]
    for name, data in {**files, f"{info}/RECORD": "".join(lines).encode()}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(next((new for end, new in changed.items() if name.endswith(f"/{end}.py")), data))
    monkeypatch.setattr(installation, "distribution", lambda _name: PathDistribution(folder / info))


def test_what_runs_here_becomes_a_wheel_without_what_the_installer_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_a_wheel(tmp_path, monkeypatch)
    first, second = pinned([]), pinned(["simulator"])
    assert first.keys() == {"naga_reconciler-0.2.0-py3-none-any.whl", "requirements.txt"}
    (wheel, list_of), (same, more) = first.values(), second.values()
    assert wheel == same
    with ZipFile(io.BytesIO(wheel)) as archive:
        assert sorted(archive.namelist()) == [
            "naga_reconciler-0.2.0.dist-info/METADATA",
            "naga_reconciler-0.2.0.dist-info/RECORD",
            "reconciler/a.py",
        ]
    assert pinned_names(more.decode()) - pinned_names(list_of.decode()) >= {"starlette", "uvicorn"}
    assert "naga-reconciler 0.2.0" in pinned_names(list_of.decode())


def test_a_file_that_was_changed_after_the_installation_is_pinned_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_a_wheel(tmp_path, monkeypatch, a=b"A = 2\n")
    with pytest.raises(UsageError, match=re.escape("reconciler/a.py")):
        pinned([])
    (tmp_path / "reconciler/a.py").unlink()
    with pytest.raises(UsageError, match=re.escape("reconciler/a.py")):
        pinned([])


def test_a_checkout_gives_the_files_that_its_wheel_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_a_wheel(tmp_path, monkeypatch)
    told = {"url": "file:///w", "dir_info": {"editable": True}}
    (tmp_path / "naga_reconciler-0.2.0.dist-info/direct_url.json").write_text(json.dumps(told))
    for name in ("reconciler/__pycache__/a.pyc", "schemas/keys.schema.json", "requirements/runtime.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "requirements/dev.txt").write_bytes(b"")
    monkeypatch.setattr(installation, "_HERE", tmp_path / "reconciler")
    with ZipFile(io.BytesIO(pinned([])["naga_reconciler-0.2.0-py3-none-any.whl"])) as archive:
        assert [name for name in archive.namelist() if ".dist-info/" not in name] == [
            "reconciler/a.py",
            "reconciler/requirements/runtime.txt",
            "reconciler/schemas/keys.schema.json",
        ]


def test_what_is_not_installed_cannot_be_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "distribution", find)
    with pytest.raises(UsageError):
        pinned([])
