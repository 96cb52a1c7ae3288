"""Changes a room's code a little, many times, and counts how many of the changes its tests notice: `make mutants`.

Cosmic Ray makes the changes, in a copy of this folder; a seed says which of them are tried. What survives and should,
because it changes nothing that can be seen, is explained in `survivors.toml` beside this file and not counted.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).parents[2]
BUILD: Final = ROOT / "build" / "mutants"
SURVIVORS: Final = Path(__file__).with_name("survivors.toml")
LEAST: Final = 0.97

# What a room is tested by besides its own tests, which come first: the first failure ends the tests of a mutant.
FURTHER: Final = {
    "account": ["tests/integration/test_account_client.py", "tests/integration/test_lock.py"],
    "declaration": ["tests/properties/test_declaration.py"],
    "formatting": ["tests/properties/test_fmt.py", "tests/properties/test_import.py"],
    "http": ["tests/integration/test_account_client.py"],
    "insight": ["tests/properties/test_insight.py", "tests/golden/insight"],
    "planning": ["tests/properties/test_plan.py", "tests/properties/test_guardrails.py"],
    "render": ["tests/properties/test_render.py", "tests/golden"],
}
# `is` and `==` are one for what this code compares with them: None and the members of enums.
ALIKE: Final = ("_Is_Eq", "_Eq_Is", "_IsNot_NotEq", "_NotEq_IsNot")
# Of the seconds that the tests take without a change.
PATIENCE: Final = 5
SHORTEST_PATIENCE: Final = 60.0


@dataclass(frozen=True)
class Mutant:
    """A change: the lines that it takes away and those that it puts in their place, without indentation."""

    module: str
    line: str
    mutant: str

    def explained_by(self, entry: dict[str, str]) -> bool:
        """True when an entry of survivors.toml means this change; one without a module means it in all of them."""
        return entry.get("module", self.module) == self.module and (entry["line"], entry["mutant"]) == (
            self.line,
            self.mutant,
        )


class _Bare(ast.NodeTransformer):
    """Takes away what only a type checker reads."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if "TYPE_CHECKING" in ast.dump(node.test) else self.generic_visit(node)


def meaning(code: str) -> str | None:
    """Give what is left of code without what only a type checker reads; None when it is no Python."""
    try:
        return ast.dump(_Bare().visit(ast.parse(code)))
    except SyntaxError:
        return None


def copy_tree() -> Path:
    """Copy what git knows or would add: nobody's work is changed, however a run ends."""
    tree = BUILD / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    return tree


def draw(room: str, count: int, seed: int) -> Iterator[Any]:
    """Draw changes of a room that mean something, from all that Cosmic Ray knows to make; run in the copy."""
    session = BUILD / "session.sqlite"
    session.unlink(missing_ok=True)
    with use_db(str(session), WorkDB.Mode.create) as database:
        init(sorted(Path("reconciler", room).glob("*.py")), database, {})
        items = [item for item in database.work_items if not item.mutations[0].operator_name.endswith(ALIKE)]
    random.Random(seed).shuffle(items)  # noqa: S311  # a sample, no secret
    for item in items:
        if count == 0:
            return
        (mutation,) = item.mutations
        before = mutation.module_path.read_text()
        after = mutate_code(before, get_operator(mutation.operator_name)(), mutation.occurrence)
        if after is not None and meaning(after) not in {None, meaning(before)}:
            count -= 1
            yield item


def mutant(module: Path, diff: str) -> Mutant:
    """Read a change from its unified diff."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    old, new = ("\n".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
    return Mutant(module.as_posix(), old, new)


def main(arguments: Sequence[str]) -> int:
    """Try the changes one after the other and print the score; 0 when it is high enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("room")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--python", required=True, help="the interpreter that has what tests need")
    parser.add_argument("--pytest-args", default="")
    asked = parser.parse_args(arguments)
    tree = copy_tree()
    os.chdir(tree)
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}  # the copy goes before the wheel
    tests = [f"tests/unit/{asked.room}", *FURTHER.get(asked.room, [])]
    pytest = [asked.python, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not proof", *tests]
    command = shlex.join([*pytest, *shlex.split(asked.pytest_args)])
    began = time.monotonic()
    outcome, said = run_tests(command, None)
    if outcome is not TestOutcome.SURVIVED:
        print(f"{said}\nthe tests fail without any change")
        return 2
    patience = max(SHORTEST_PATIENCE, PATIENCE * (time.monotonic() - began))
    explained = tomllib.loads(SURVIVORS.read_text())["survivor"]
    killed = equal = survived = 0
    for item in draw(asked.room, asked.count, asked.seed):
        result = mutate_and_test(item.mutations, command, patience)
        found = mutant(item.mutations[0].module_path, result.diff or "")
        if result.is_killed:
            killed += 1
        elif any(found.explained_by(entry) for entry in explained):
            equal += 1
        else:
            survived += 1
            where = f"{found.module}:{item.mutations[0].start_pos[0]}"
            print(f"{where}: no test notices\n  - {found.line}\n  + {found.mutant}", flush=True)
    counted = killed + survived
    score = killed / counted if counted else 1.0
    print(f"{asked.room}, seed {asked.seed}: {killed} of {counted} noticed ({score:.1%}), {equal} explained")
    return 0 if score >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
