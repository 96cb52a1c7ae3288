from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from reconciler.destinations.registry import Registry
from reconciler.errors import DestinationError
from reconciler.model import Target

if TYPE_CHECKING:
    from pathlib import Path


class Packages:
    """Installs packages that offer destinations, for the length of a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(self, package: str, kind: str, code: str) -> None:
        module = package.replace("-", "_")
        (self._folder / f"{module}.py").write_text(code)
        metadata = self._folder / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[reconciler.destinations]\n{kind} = {module}:create\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Packages(tmp_path)


def refusal(kind: str) -> str:
    with pytest.raises(DestinationError) as caught:
        Registry().open(Target("prod", kind, ()))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_destination_of_any_installed_package_is_found(packages: Packages) -> None:
    packages.install("acme-a", "acme", "class create:\n    def __init__(self, target): self.target = target\n")
    target = Target("prod", "acme", (("path", "x"),))
    assert vars(Registry().open(target)) == {"target": target}


@pytest.mark.parametrize(
    ("kind", "extra"),
    [("age", "age"), ("github-actions", "github"), ("aws-secrets-manager", "aws"), ("vault", "vault")],
)
def test_a_type_that_an_extra_brings_names_the_extra(kind: str, extra: str, packages: Packages) -> None:
    assert refusal(kind).endswith(f"install it: pip install 'naga-reconciler[{extra}]'")
    packages.install("acme-b", kind, "import a_library_that_is_not_installed")
    assert refusal(kind) == (
        f"the destination type {kind!r} cannot be used (ModuleNotFoundError: No module named "
        f"'a_library_that_is_not_installed'); install it: pip install 'naga-reconciler[{extra}]'"
    )


def test_an_unknown_type_lists_what_there_is() -> None:
    assert refusal("dotnev") == (
        "no installed package offers the destination type 'dotnev' (there are: dotenv); correct the type, "
        "or install the package that offers it"
    )


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("", "AttributeError: module 'acme_c' has no attribute 'create'"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("create = 5", "TypeError: 'int' object is not callable"),
    ],
    ids=["nothing there", "fails to import", "no factory"],
)
def test_a_broken_package_says_why(code: str, cause: str, packages: Packages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "acme_c", raising=False)
    packages.install("acme-c", "acme", code)
    assert refusal("acme") == (
        f"the destination type 'acme' cannot be used ({cause}); reinstall or repair the package that offers it"
    )


def test_what_a_destination_says_about_its_settings_is_passed_on(packages: Packages) -> None:
    code = (
        "from reconciler.errors import DestinationError\n"
        "def create(target): raise DestinationError(f'{target.destination} needs a path')"
    )
    packages.install("acme-d", "acme", code)
    assert refusal("acme") == "prod needs a path"


def test_two_packages_of_one_type_are_refused(packages: Packages) -> None:
    packages.install("acme-f", "acme", "")
    packages.install("acme-e", "acme", "")
    assert refusal("acme") == (
        "the destination type 'acme' is offered by more than one package, uninstall all but one: acme-e, acme-f"
    )
