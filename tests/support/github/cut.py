"""Cuts GitHub's description of its API down to the operations that reconciler uses.

python tests/support/github/cut.py node_modules/@octokit/openapi > tests/support/github/openapi.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

_REPOSITORY: Final = "/repos/{owner}/{repo}"
_ENVIRONMENT: Final = "/repos/{owner}/{repo}/environments/{environment_name}"
_ORGANIZATION: Final = "/orgs/{org}"

OPERATIONS: Final[dict[str, tuple[str, ...]]] = {
    "/app/installations/{installation_id}/access_tokens": ("post",),
    "/installation/token": ("delete",),
    **{
        path: (method,)
        for home, secrets in (
            (_REPOSITORY, f"{_REPOSITORY}/actions/secrets"),
            (_ENVIRONMENT, f"{_ENVIRONMENT}/secrets"),
            (_ORGANIZATION, f"{_ORGANIZATION}/actions/secrets"),
        )
        for path, method in (
            (home, "get"),
            (secrets, "get"),
            (f"{secrets}/public-key", "get"),
            (f"{secrets}/{{secret_name}}", "put"),
        )
    },
    f"{_REPOSITORY}/installation": ("get",),
    f"{_ORGANIZATION}/installation": ("get",),
    f"{_REPOSITORY}/commits/{{commit_sha}}/pulls": ("get",),
    f"{_REPOSITORY}/git/ref/{{ref}}": ("get",),
    f"{_REPOSITORY}/issues": ("get", "post"),
    f"{_REPOSITORY}/issues/{{issue_number}}": ("patch",),
    f"{_REPOSITORY}/issues/{{issue_number}}/comments": ("get", "post"),
    f"{_REPOSITORY}/issues/comments/{{comment_id}}": ("delete", "patch"),
}
_LEFT_OUT: Final = {"externalDocs", "tags", "x-github", "x-octokit"}


def cut(whole: dict[str, Any], source: str) -> dict[str, Any]:
    """Keep the operations and everything that they refer to."""
    paths = {}
    for path, methods in sorted(OPERATIONS.items()):
        paths[path] = {method: _quiet(whole["paths"][path][method]) for method in methods}
    document = {
        "openapi": whole["openapi"],
        "info": {**whole["info"], "description": f"Cut from {source}; see LICENSE beside this file."},
        "servers": whole["servers"],
        "paths": paths,
    }
    wanted = _references(document)
    components: dict[str, dict[str, Any]] = {}
    while wanted:
        _, _, group, name = wanted.pop().split("/")
        if name not in components.setdefault(group, {}):
            components[group][name] = _quiet(whole["components"][group][name])
            wanted += _references(components[group][name])
    return {**document, "components": {group: dict(sorted(each.items())) for group, each in sorted(components.items())}}


def _quiet(node: Any, *, named: bool = False) -> Any:
    """Leave out what only people read; where the document must have a description, an empty one does."""
    if isinstance(node, dict):
        kept = node if named else {name: value for name, value in node.items() if name not in _LEFT_OUT}
        return {
            name: "" if name == "description" and isinstance(value, str) else _quiet(value, named=name == "properties")
            for name, value in kept.items()
        }
    return [_quiet(each) for each in node] if isinstance(node, list) else node


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [each for value in node.values() for each in _references(value)]
    return [each for value in node for each in _references(value)] if isinstance(node, list) else []


def main() -> None:
    """Read the package that holds the description, and print what is cut from it."""
    package = Path(sys.argv[1])
    about = json.loads((package / "package.json").read_text("utf-8"))
    whole = json.loads((package / "generated" / "api.github.com.json").read_text("utf-8"))
    json.dump(cut(whole, f"{about['name']} {about['version']}"), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
