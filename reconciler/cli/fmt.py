"""`reconciler fmt`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("fmt")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option(
    "-f",
    "--file",
    "more",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The same as FILE: a file, a folder of *.yaml files, or - from standard input to standard output.",
)
@click.option("--check", is_flag=True, help="Write nothing; show what would change, and exit with 1 if anything would.")
def command(files: tuple[Path, ...], more: tuple[Path, ...], *, check: bool) -> int:
    """Write files in their canonical form, comments kept.

    Without a FILE it is keys.yaml; a folder stands for its *.yaml files. What a file means never changes. If one of
    them cannot be read, or holds unknown fields or values of a wrong kind, the errors are shown and none is changed.

    \b
    Examples:
      reconciler fmt
      reconciler fmt --check keys/
      reconciler fmt -f - < keys.yaml
    """
    import os
    from dataclasses import replace

    from reconciler.cli.console import note, show
    from reconciler.cli.difference import difference
    from reconciler.declaration import read_sources
    from reconciler.declaration.canonical import check_shape, formatted
    from reconciler.declaration.source import STDIN
    from reconciler.declaration.writing import write_files

    paths = dict.fromkeys([*files, *more]) or {Path("keys.yaml"): None}
    found = [source for path in paths for source in read_sources(path)]
    sources = list({os.path.realpath(source.name): source for source in found}.values())
    check_shape(sources)
    results = [replace(source, content=formatted(source)) for source in sources]
    changed = [(before, after) for before, after in zip(sources, results, strict=True) if before != after]
    if check:
        show(difference([before for before, _ in changed], [after for _, after in changed]))
        for file, _ in changed:
            note(f"{file.name} is not in its canonical form; reconciler fmt writes it so")
        return int(bool(changed))
    write_files(
        {Path(file.name): file.content for _, file in changed if file.name != STDIN},
        {Path(file.name): file.content for file, _ in changed},
    )
    for file in results:
        if file.name == STDIN:
            show(file.content.decode())
    for file, _ in changed:
        if file.name != STDIN:
            note(f"{file.name} is written anew")
    return 0
