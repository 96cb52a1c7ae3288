"""The schema of keys.yaml in the language server of VS Code, Neovim and Helix, and as a public catalogue judges it.

Not part of `make test`, which asks for no Node: `make editor` runs it, and so does CI.
"""

from __future__ import annotations

import itertools
import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.files import shipped_schema
from support.packages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = shutil.which("node") or "node"
MODULES = Path(__file__).parent / "node_modules"
MODELINE = "# yaml-language-server: $schema=keys.schema.json\n"
SCHEMA: dict[str, Any] = json.loads(shipped_schema("keys.schema.json"))
GROUPS: dict[str, dict[str, Any]] = {"file": SCHEMA, **SCHEMA["$defs"]}
TYPES: list[str] = SCHEMA["$defs"]["destination"]["properties"]["type"]["anyOf"][0]["enum"]
KEY = ("environments:", "  production:", "    keys:", "      api:")
PLACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "the file": ("file", ()),
    "guardrails": ("guardrails", ("guardrails:",)),
    "alerts": ("alerts", ("alerts:",)),
    "defaults": ("defaults", ("defaults:",)),
    "defaults.deliver": ("delivery", ("defaults:", "  deliver:", "    -")),
    "an environment": ("environment", KEY[:2]),
    "an environment's guardrails": ("guardrails", (*KEY[:2], "    guardrails:")),
    "an environment's defaults": ("defaults", (*KEY[:2], "    defaults:")),
    "an environment's deliver": ("delivery", (*KEY[:2], "    deliver:", "      -")),
    "a key": ("key", KEY),
    "a key's deliver": ("delivery", (*KEY, "        deliver:", "          -")),
    **{type_: (type_, ("destinations:", "  local:", f"    type: {type_}")) for type_ in TYPES},
}
PROBLEMS: dict[str, list[str]] = {
    "naming: '{environment}/{key}'": ['Missing property "version".'],
    "version: 2": ["must be 1"],
    "version: 1\nenviroments: {}": ["Property enviroments is not allowed."],
    "version: 1\nunmanaged: reprt": ["must be report, ignore, error or delete"],
    "version: 1\nguardrails: {max_deletions: -1}": ["Value is below the minimum of 0."],
    "version: 1\ndefaults: {credt_limit: 5}": ["Property credt_limit is not allowed."],
    "version: 1\ndefaults: {credit_limit: '5'}": ["must be a number of USD or null"],
    "version: 1\ndefaults: {credit_limit: -5}": ["Value is below the minimum of 0."],
    "version: 1\ndefaults: {is_enabled: no}": ["must be true or false"],
    "version: 1\ndefaults: {rotate_every: 90 days}": ["must be a duration like 90s, 30m, 24h, 7d or 2w, or null"],
    "version: 1\ndefaults: {expires_at: 2027-01-01}": [
        "must be a date-time with a time zone like 2027-01-01T00:00:00Z, or null"
    ],
    "version: 1\ndefaults: {deliver: {to: a, as: A}}": ["must be a list of {to: DESTINATION, as: NAME}"],
    "version: 1\ndefaults: {deliver: [{to: a}]}": ['Missing property "as".'],
    "version: 1\nenvironments: {e: {keys: {api: }}}": [
        "must be a mapping of fields such as credit_limit, or {} where the defaults say it all"
    ],
    "version: 1\nenvironments: {e: {keys: {API: {}}}}": [
        "must match [a-z0-9][a-z0-9._-]* and have at most 63 characters"
    ],
    "version: 1\nenvironments: {on: {keys: {no: {}, 123: {}}}}": [],
    "version: 1\ndestinations: {a: dotenv}": ["must be a mapping with a type"],
    "version: 1\ndestinations: {a: {path: x}}": ['Missing property "type".'],
    "version: 1\ndestinations: {a: {type: dotnev}}": [
        f"must be {', '.join(TYPES[:-1])} or {TYPES[-1]}, or what another package offers, with a dot in it"
    ],
    "version: 1\ndestinations: {a: {type: dotenv, path: x, repository: a/b}}": ["Property repository is not allowed."],
    "version: 1\ndestinations: {a: {type: acme.box, any: [x]}}": [],
    "version: 1\ndestinations: {a: {type: github-actions}}": ["must have repository or organization"],
    "version: 1\ndestinations: {a: {type: github-actions, organization: acme}}": ['Missing property "visibility".'],
    "version: 1\ndestinations: {a: {type: github-actions, repository: a/b, visibility: all}}": [
        "must be left out: only secrets of an organization have one"
    ],
    "version: 1\ndestinations: {a: {type: age, path: x}}": ["must have recipients or recipients_file"],
    "version: 1\ndestinations: {a: {type: exec, command: run it}}": ["must be a list of a program and its arguments"],
}


class LanguageServer:
    """Speaks to the server as an editor does; the texts that it is shown lie in a folder with the schema."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self.folder, self.numbers = process, folder, itertools.count(1)
        self.problems: dict[str, list[str]] = {}
        configuration = {"workspace": {"configuration": True}}
        self.ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": configuration})
        self.send("initialized", {})
        self.send("workspace/didChangeConfiguration", {"settings": {}})

    def send(self, method: str, params: Any, **more: Any) -> None:
        self._write({"method": method, "params": params, **more})

    def ask(self, method: str, params: Any) -> Any:
        number = next(self.numbers)
        self.send(method, params, id=number)
        while "method" in (message := self._read()) or message["id"] != number:
            pass
        assert "error" not in message, message
        return message["result"]

    def open(self, text: str, folder: str = ".") -> str:
        """Show a text; gives its address."""
        address = (self.folder / folder / f"{next(self.numbers)}.yaml").as_uri()
        document = {"uri": address, "languageId": "yaml", "version": 1, "text": text}
        self.send("textDocument/didOpen", {"textDocument": document})
        return address

    def faults(self, text: str, folder: str = ".") -> list[str]:
        """Show a text; gives what is wrong with it."""
        address = self.open(text, folder)
        while address not in self.problems:
            self._read()
        return self.problems[address]

    def at(self, method: str, address: str, line: int, column: int) -> Any:
        position = {"line": line, "character": column}
        return self.ask(f"textDocument/{method}", {"textDocument": {"uri": address}, "position": position})

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout
        length = int(self.process.stdout.readline().removeprefix(b"Content-Length: "))
        while self.process.stdout.readline().strip():
            pass
        message: dict[str, Any] = json.loads(self.process.stdout.read(length))
        if message.get("method") == "workspace/configuration":
            wanted = {"yaml": {"schemaStore": {"enable": False}, "schemas": {"./keys.schema.json": ["teams/*.yaml"]}}}
            sections = [item.get("section") for item in message["params"]["items"]]
            self._write({"id": message["id"], "result": [wanted.get(section) for section in sections]})
        elif "method" in message and "id" in message:
            self._write({"id": message["id"], "result": None})
        elif message.get("method") == "textDocument/publishDiagnostics":
            found = [problem["message"] for problem in message["params"]["diagnostics"]]
            self.problems[message["params"]["uri"]] = found
        return message


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    folder = tmp_path_factory.mktemp("editor")
    (folder / "keys.schema.json").write_bytes(shipped_schema("keys.schema.json"))
    command = [str(MODULES / ".bin" / "yaml-language-server"), "--stdio"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield LanguageServer(process, folder)
        finally:
            process.terminate()


def fields(group: str) -> dict[str, dict[str, Any]]:
    found = {name: raw for name, raw in GROUPS[group]["properties"].items() if raw is not True}
    return {name: GROUPS[raw["$ref"].rpartition("/")[2]] if "$ref" in raw else raw for name, raw in found.items()}


def written(place: tuple[str, ...], field: str) -> tuple[str, int, int]:
    """Write a file with one field at a place; gives the line and the column of the field as well."""
    lines = [MODELINE.strip(), *place]
    if place and place[-1].endswith("-"):
        before = lines.pop() + " "
    else:
        before = "  " * sum(line.endswith(":") for line in place)
    return "\n".join([*lines, before + field]) + "\n", len(lines), len(before)


@pytest.mark.parametrize("place", PLACES)
def test_each_field_is_explained_where_it_stands(server: LanguageServer, place: str) -> None:
    group, above = PLACES[place]
    for name, field in fields(group).items():
        text, line, column = written(above, f"{name}: {json.dumps(field['examples'][0])}")
        told = server.at("hover", server.open(text), line, column + 1)["contents"]["value"].replace("\\", "")
        assert told.startswith(f"#### {field['title']}\n\n{field['description']}"), name


@pytest.mark.parametrize("place", PLACES)
def test_each_field_is_offered_where_it_may_stand_and_no_other(server: LanguageServer, place: str) -> None:
    group, above = PLACES[place]
    text, line, column = written(above, "")
    offered = server.at("completion", server.open(text), line, column)["items"]
    assert {item["label"] for item in offered} - {GROUPS[group]["title"]} == fields(group).keys()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("unmanaged: ", ["report", "ignore", "error", "delete"]),
        ("destinations:\n  local:\n    type: ", TYPES),
        ("destinations:\n  local:\n    type: github-actions\n    visibility: ", ["all", "private", "selected"]),
    ],
)
def test_each_value_is_offered_with_its_meaning(server: LanguageServer, text: str, values: list[str]) -> None:
    lines = (MODELINE + text).split("\n")
    offered = server.at("completion", server.open(MODELINE + text), len(lines) - 1, len(lines[-1]))["items"]
    assert [item["label"] for item in offered] == values
    assert len({str(item["documentation"]) for item in offered}) == len(values)


@pytest.mark.parametrize("text", PROBLEMS)
def test_a_mistake_is_named_once(server: LanguageServer, text: str) -> None:
    assert server.faults(f"{MODELINE}{text}\n") == PROBLEMS[text]


def test_the_schema_may_be_chosen_by_the_name_of_the_file(server: LanguageServer) -> None:
    assert server.faults("version: 2\n", "teams") == ["must be 1"]
    assert server.faults("version: 2\n") == []


def valid_files() -> dict[str, str]:
    files = [ROOT / "keys.yaml.example", *sorted((ROOT / "tests/examples/valid").glob("*.yaml"))]
    pages: Iterator[tuple[str, str]] = runpy.run_path(str(ROOT / "docs/generator/examples.py"))["examples"]()
    return {file.name: file.read_text("utf-8") for file in files} | dict(pages)


def test_no_example_is_found_fault_with(server: LanguageServer) -> None:
    texts = {name: re.sub(r"\A# yaml-language-server.*\n", "", text) for name, text in valid_files().items()}
    found = {name: server.faults(MODELINE + text) for name, text in texts.items()}
    assert {name: problems for name, problems in found.items() if problems} == {}
    assert len(found) > 20


CATALOGUE = """
const {default: Ajv} = require("ajv/dist/2020"), formats = require("ajv-formats"), yaml = require("yaml");
const ajv = new Ajv({strictTypes: false, strictTuples: false, allowMatchingProperties: true});
(formats.default ?? formats)(ajv);
["errorMessage", "enumDescriptions"].forEach(name => ajv.addKeyword(name));
const {schema, texts} = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const valid = ajv.compile(schema);
console.log(JSON.stringify(texts.map(text => valid(yaml.parse(text, {merge: true})))));
"""


def test_the_catalogues_own_validator_takes_the_schema_and_agrees_about_the_examples() -> None:
    refused = [text for text, problems in PROBLEMS.items() if problems]
    given = json.dumps({"schema": SCHEMA, "texts": [*valid_files().values(), *refused]})
    done = subprocess.run(
        [NODE, "-e", CATALOGUE], cwd=MODULES, input=given, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == [True] * len(valid_files()) + [False] * len(refused)
