"""The parts of the documentation that the program itself knows best: its fields, its commands, its flags."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, Final

import click

import schema
from reconciler.cli.main import COMMANDS, cli
from reconciler.simulator.faults import GRAMMAR
from reconciler.units import format_duration

Schema = dict[str, Any]

_SCHEMA: Final[Schema] = schema.keys()
# What the shape of the file cannot say: these are demanded once everything has been merged.
_DEMANDED: Final = {
    ("file", "environments"): "required",
    ("environment", "keys"): "required, but beside leases",
    ("key", "credit_limit"): "required, unless defaults have it",
}
# What null stands for.
_NULLS: Final = {"rotation_overlap": "planner:DEFAULT_OVERLAP"}


def fields(group: str) -> str:
    """Write the fields of a group of the schema (`file`, or a name in its `$defs`) as a Markdown table."""
    described = _SCHEMA if group == "file" else _SCHEMA["$defs"][group]
    lines = ["| Field | Takes | Default | Meaning | Example |", "|---|---|---|---|---|"]
    for name, raw in described["properties"].items():
        if raw is not True:
            field = _resolved(raw)
            example = _cell(_code(field["examples"][0]))
            takes, meaning = _cell(_takes(field)), _cell(field["description"])
            lines.append(f"| `{name}` | {takes} | {_default(group, name, described)} | {meaning} | {example} |")
    return "\n".join(lines)


def destinations() -> str:
    """Write a section for each type of destination whose settings the schema knows."""
    parts: list[str] = []
    for kind in destination_types():
        if kind in _SCHEMA["$defs"]:
            parts += [f"### `type: {kind}`", "", _SCHEMA["$defs"][kind]["description"], ""]
            if len(_SCHEMA["$defs"][kind]["properties"]) > 1:  # beside the type
                parts += [fields(kind), ""]
    return "\n".join(parts[:-1])


def destination_types() -> list[str]:
    """Give the types of destinations that the schema knows."""
    types: list[str] = _SCHEMA["$defs"]["destination"]["properties"]["type"]["anyOf"][0]["enum"]
    return types


def faults() -> str:
    """Give the grammar of the simulator's faults."""
    return f"```text\n{GRAMMAR.strip()}\n```"


def commands() -> str:
    """List the commands, a line each."""
    return "\n".join(
        ["| Command | Does |", "|---|---|", *(f"| `reconciler {name}` | {does} |" for name, does in COMMANDS.items())]
    )


def flags() -> str:
    """Write a section for each command, with every flag."""
    parts = ["### For every command", "", _flag_table(cli)]
    for name in COMMANDS:
        parts += ["", *_command(name)]
    return "\n".join(parts)


def _command(name: str) -> list[str]:
    with click.Context(cli, info_name="reconciler") as parent:
        command = cli.get_command(parent, name)
        if command is None:
            raise LookupError(name)
        usage = command.get_usage(click.Context(command, parent, name)).removeprefix("Usage: ")
    prose, _, examples = (command.help or "").partition("\b\n")
    paragraphs = [" ".join(paragraph.split()) for paragraph in prose.split("\n\n") if paragraph.strip()]
    lines = examples.splitlines()[1:]
    shown = "\n".join(f"$ {line.strip()}" for line in lines if line.strip())
    parts = [f"### `reconciler {name}`", "", f"`{usage}`", ""]
    for paragraph in paragraphs:
        parts += [paragraph, ""]
    if shown:
        parts += ["```console", shown, "```", ""]
    table = _flag_table(command)
    return [*parts, table] if table else parts[:-1]


def _flag_table(command: click.Command) -> str:
    context = click.Context(command, info_name="reconciler", help_option_names=["-h", "--help"])
    lines = []
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and not parameter.hidden and (command is cli or not _is_help(parameter)):
            names = ", ".join(f"`{name}`" for name in parameter.opts)
            value = "" if parameter.is_flag or parameter.count else f" `{_value(parameter, context)}`"
            shown = "" if parameter.is_flag or not parameter.show_default else f"`{_shown_default(parameter)}`"
            lines.append(f"| {names}{_cell(value)} | {shown} | {_cell(parameter.help or '')} |")
    return "\n".join(["| Flag | Default | Meaning |", "|---|---|---|", *lines]) if lines else ""


def _is_help(parameter: click.Option) -> bool:
    return "--help" in parameter.opts


def _value(parameter: click.Option, context: click.Context) -> str:
    if isinstance(parameter.type, click.IntRange) and parameter.metavar is None:
        return f"{parameter.type.min}…{'' if parameter.type.max is None else parameter.type.max}"
    return parameter.make_metavar(context)


def _resolved(raw: Schema) -> Schema:
    reference = raw.get("$ref")
    return _SCHEMA["$defs"][reference.rpartition("/")[2]] if reference else raw


def _takes(field: Schema) -> str:
    words = str((field if "errorMessage" in field else field["allOf"][0])["errorMessage"])
    return words.removeprefix("must be ")


def _shown_default(option: click.Option) -> object:
    """Give the default as the help shows it: some depend on what is there."""
    return option.show_default if isinstance(option.show_default, str) else option.default


def _default(group: str, name: str, described: Schema) -> str:
    if demanded := _DEMANDED.get((group, name)):
        return demanded
    if name in described.get("required", ()) and group != "defaults":
        return "required"
    if name in _NULLS:
        module, _, constant = _NULLS[name].partition(":")
        stands_for = getattr(import_module(f"reconciler.planning.{module}"), constant)
        return f"`null`, which is `{format_duration(stands_for)}`"
    default = _resolved(described["properties"][name]).get("default", "none")
    return "none" if default == "none" else _cell(_code(default))


def _code(value: object) -> str:
    return f"`{_flow(value)}`"


def _flow(value: object) -> str:
    """Write a value as YAML on one line."""
    match value:
        case dict() if value:
            return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
        case list() if value:
            return "[" + ", ".join(_flow(inner) for inner in value) + "]"
        case str():
            return f'"{value}"' if set(value) & set("{}[]*,") else value
        case _:
            return json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
