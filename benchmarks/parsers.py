"""Measures ways to read and to check a large keys.yaml: the figures of docs/decisions/0003.

Each way runs in a process of its own, several times, in turn; prints a Markdown table with medians.

    .venv/bin/python benchmarks/parsers.py
    .venv/bin/python benchmarks/parsers.py --keys 10000 --rounds 3
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

HERE: Final = Path(__file__).parent


def _load(content: bytes, loader: str, *, collect: bool = True) -> None:
    import yaml

    if not collect:
        gc.disable()
    yaml.load(content, Loader=getattr(yaml, loader))  # noqa: S506  # both are safe loaders


def _compose(content: bytes) -> None:
    import yaml

    yaml.compose(content, Loader=yaml.CSafeLoader)


def _events(content: bytes) -> None:
    from reconciler.declaration.loader import SourceFile, read
    from reconciler.declaration.parser import Report

    gc.disable()
    read(SourceFile("keys.yaml", HERE, content), Report())


def _gate(document: object, schema: str) -> None:
    import jsonschema_rs

    jsonschema_rs.validator_for(schema).is_valid(document)


def _explain(document: object, schema: str) -> None:
    import jsonschema

    jsonschema.Draft202012Validator(json.loads(schema)).is_valid(document)


PARSERS: Final[dict[str, Callable[[bytes], None]]] = {
    "PyYAML, SafeLoader (pure Python)": lambda content: _load(content, "SafeLoader"),
    "PyYAML, CSafeLoader": lambda content: _load(content, "CSafeLoader"),
    "PyYAML, CSafeLoader, garbage collector off": lambda content: _load(content, "CSafeLoader", collect=False),
    "PyYAML, compose to nodes with libyaml": _compose,
    "libyaml events, our own builder (reconciler)": _events,
}
VALIDATORS: Final[dict[str, Callable[[object, str], None]]] = {
    "jsonschema": _explain,
    "jsonschema-rs": _gate,
}


def measure(way: str, file: Path) -> tuple[float, float]:
    """Run one way in this process: seconds, and the peak of memory in MB on top of what was there before."""
    content = file.read_bytes()
    if way in PARSERS:
        parse = PARSERS[way]
        return _cost(lambda: parse(content), lambda: parse(b"version: 1\n"))
    from reconciler.declaration.loader import SourceFile, read
    from reconciler.declaration.parser import Report
    from reconciler.files import shipped_schema

    document = read(SourceFile("keys.yaml", HERE, content), Report())
    schema = shipped_schema("keys.schema.json").decode()
    validate = VALIDATORS[way]
    return _cost(lambda: validate(document, schema), lambda: validate({}, schema))


def _cost(work: Callable[[], None], warm_up: Callable[[], None]) -> tuple[float, float]:
    warm_up()  # imports are not what is measured
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    work()
    took = time.perf_counter() - start
    return took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Measure every way and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        way, file = options.one
        print(json.dumps(measure(way, Path(file))))
        return
    print(f"{options.keys:,} keys, median of {options.rounds}; CPython {platform.python_version()}\n")
    print("| Way | Seconds | Memory, MB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, HERE / "generate.py", str(options.keys), folder], check=True)
        (file,) = Path(folder).glob("keys*.yaml")
        results: dict[str, list[tuple[float, float]]] = {way: [] for way in (*PARSERS, *VALIDATORS)}
        for _ in range(options.rounds):
            for way, found in results.items():
                command = [sys.executable, __file__, "--one", way, str(file)]
                found.append(tuple(json.loads(subprocess.check_output(command))))
    for way, found in results.items():
        seconds, memory = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"| {way} | {seconds:.3f} | {f'{memory:.0f}' if way in PARSERS else ''} |")


if __name__ == "__main__":
    main()
