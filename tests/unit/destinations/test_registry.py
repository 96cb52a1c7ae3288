from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from reconciler import destinations
from reconciler.declaration.destinations import kinds
from reconciler.destinations.dotenv import Dotenv
from reconciler.destinations.registry import Registry
from reconciler.errors import DestinationError
from reconciler.installation import installing
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


TAKING = """
class create:
    async def preflight(self, names): ...
    async def deliver(self, secret_delivery): ...
"""


def refusal(kind: str) -> str:
    with pytest.raises(DestinationError) as caught:
        Registry().open(Target("prod", kind, ()))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_destination_of_any_installed_package_is_found(packages: Packages) -> None:
    packages.install("acme-a", "acme", f"{TAKING}    def __init__(self, target): self.target = target\n")
    target = Target("prod", "acme", (("path", "x"),))
    assert vars(Registry().open(target)) == {"target": target}


@pytest.mark.parametrize(
    ("kind", "extra", "library", "modules"),
    [
        ("age", "age", "pyrage", "age"),
        ("aws-secrets-manager", "aws", "boto3", "aws"),
        ("github-actions", "github", "nacl", "github"),
        ("gcp-secret-manager", "gcp", "google.auth", "gcp"),
    ],
)
def test_a_type_whose_library_is_missing_names_the_extra_that_brings_it(
    kind: str, extra: str, library: str, modules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    for name in [name for name in sys.modules if name.startswith(f"{library}.")]:
        monkeypatch.delitem(sys.modules, name)
    loaded = (f"{library}.", f"reconciler.destinations.{modules}")
    for name in [name for name in sys.modules if name.startswith(loaded)]:
        # To be put back: an import replaces not only what sys.modules knows, but the attribute of the package too.
        monkeypatch.setattr(destinations, name.rpartition(".")[2], sys.modules[name])
        monkeypatch.delitem(sys.modules, name)
    message = refusal(kind)
    assert message.startswith(f"the destination type {kind!r} cannot be used (ModuleNotFoundError: ")
    assert message.endswith(f"; install it: {installing(extra)}")


def test_an_unknown_type_lists_what_there_is(packages: Packages) -> None:
    packages.install("acme-j", "acme.box", TAKING)
    assert f"(there are: {', '.join(sorted([*kinds(), 'acme.box']))})" in refusal("dotnev")


def test_nobody_else_can_offer_one_of_our_types(packages: Packages, tmp_path: Path) -> None:
    packages.install("acme-k", "dotenv", "raise RuntimeError")
    assert isinstance(Registry().open(Target("prod", "dotenv", (("path", str(tmp_path / "x.env")),))), Dotenv)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("", "AttributeError: module 'acme_c' has no attribute 'create'"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("create = 5", "TypeError: 'int' object is not callable"),
        ("def create(target): raise SystemExit(3)", "SystemExit: 3"),
        ("def create(target): pass", "it has no preflight and no deliver"),
        ("class create:\n def __init__(self, target): pass\n def preflight(self): pass", "it has no deliver"),
    ],
    ids=["nothing there", "fails to import", "ends", "no factory", "factory ends", "gives nothing", "lacks a method"],
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


CLOSING = f"""{TAKING}
    def __init__(self, target):
        self.closed = 0
        self.fails = target.destination == "failing"

    async def aclose(self):
        self.closed += 1
        if self.fails:
            raise RuntimeError
"""


def test_closing_closes_everything_that_can_be_closed_once(packages: Packages, tmp_path: Path) -> None:
    packages.install("acme-g", "acme", CLOSING)
    registry = Registry()
    opened = [registry.open(Target(name, "acme", ())) for name in ("failing", "prod", "prod", "staging")]
    registry.open(Target("local", "dotenv", (("path", str(tmp_path / "x.env")),)))
    asyncio.run(registry.aclose())
    asyncio.run(registry.aclose())
    assert [getattr(each, "closed", None) for each in opened] == [1, 1, 1, 1]


def test_a_closed_registry_opens_anew(packages: Packages) -> None:
    packages.install("acme-h", "acme", CLOSING)
    registry = Registry()
    first = registry.open(Target("prod", "acme", ()))
    asyncio.run(registry.aclose())
    assert registry.open(Target("prod", "acme", ())) is not first


def test_a_command_of_the_file_runs_only_when_it_is_allowed() -> None:
    target = Target("prod", "exec", (("command", ("true",)),))
    with pytest.raises(
        DestinationError, match=r"it runs a command of keys\.yaml, which is done only with --allow-exec"
    ):
        Registry().open(target)
    asyncio.run(Registry(allow_exec=True).open(target).preflight(["NAGA_API"]))


def test_a_command_that_is_not_allowed_is_not_even_looked_for(packages: Packages) -> None:
    packages.install("acme-i", "exec", "raise RuntimeError")
    assert "--allow-exec" in refusal("exec")
