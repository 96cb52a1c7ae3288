from __future__ import annotations

import io
import os
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

import reconciler
from reconciler import installation
from support.packages import ROOT, build, contents, metadata, project


def contents_of(wheel: bytes) -> dict[str, bytes]:
    with ZipFile(io.BytesIO(wheel)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def shipped_files() -> dict[str, bytes]:
    """What the checkout holds for the wheel: the package as it is, and the schemas and the pins inside of it."""
    package = [path for path in (ROOT / "reconciler").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    schemas = (ROOT / "schemas").glob("*.json")
    return (
        {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in package}
        | {f"reconciler/schemas/{path.name}": path.read_bytes() for path in schemas}
        | {"reconciler/requirements/runtime.txt": (ROOT / "requirements/runtime.txt").read_bytes()}
    )


def test_the_wheel_holds_the_package_and_the_schemas_and_nothing_else(wheel: Path) -> None:
    held = {name: data for name, data in contents(wheel).items() if ".dist-info/" not in name}
    assert held == shipped_files()


@pytest.mark.parametrize(
    "name", ["py.typed", *(f"schemas/{kind}.schema.json" for kind in ("keys", "plan", "record")), "cli/main.py"]
)
def test_what_others_rely_on_is_in_the_wheel(wheel: Path, name: str) -> None:
    assert f"reconciler/{name}" in contents(wheel)


def test_the_licence_travels_with_the_wheel(wheel: Path) -> None:
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"
    licence = (ROOT / "LICENSE").read_bytes()
    assert [data for name, data in contents(wheel).items() if name.endswith("/licenses/LICENSE")] == [licence]


def test_the_version_comes_from_one_place(wheel: Path) -> None:
    assert project()["project"]["dynamic"] == ["version"]
    assert metadata(wheel)["Version"] == reconciler.__version__
    assert wheel.name == f"naga_reconciler-{reconciler.__version__}-py3-none-any.whl"


def test_the_changelog_knows_the_version() -> None:
    assert f"\n## [{reconciler.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_metadata_names_every_extra_and_all_of_them_together(wheel: Path) -> None:
    extras = set(metadata(wheel).get_all("Provides-Extra", []))
    requirements = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist", [])]
    together = {
        requirement.name
        for requirement in requirements
        if requirement.marker and requirement.marker.evaluate({"extra": "all"})
    }
    assert extras >= {"simulator", "all"}
    for extra in extras - {"all"}:
        alone = {
            requirement.name
            for requirement in requirements
            if requirement.marker and requirement.marker.evaluate({"extra": extra})
        }
        assert alone
        assert alone <= together


def test_the_command_is_installed_under_its_name(wheel: Path) -> None:
    (text,) = (data for name, data in contents(wheel).items() if name.endswith("/entry_points.txt"))
    assert "[console_scripts]\nreconciler = reconciler.cli.main:main\n" in text.decode("utf-8")


def test_the_same_sources_give_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    assert build("wheel", tmp_path).read_bytes() == wheel.read_bytes()


def test_what_init_packs_is_what_the_wheel_holds(wheel: Path) -> None:
    files = installation.pinned([])
    packed = contents_of(files[wheel.name])
    assert packed.items() >= {name: data for name, data in contents(wheel).items() if ".dist-info/" not in name}.items()
    assert packed.keys() == contents(wheel).keys()


def test_these_tests_import_what_the_wheel_holds(wheel: Path) -> None:
    package = Path(reconciler.__file__).parent
    for name, data in contents(wheel).items():
        if name.startswith("reconciler/") and not name.startswith(("reconciler/schemas/", "reconciler/requirements/")):
            assert (package.parent / name).read_bytes() == data, f"{name} is not what the wheel holds"
    if "RECONCILER_WHEEL" in os.environ:
        assert package == Path(sysconfig.get_path("purelib")) / "reconciler"
        assert not (distribution("naga-reconciler").read_text("direct_url.json") or "").count('"editable"')
        assert str(ROOT) not in sys.path
