"""A command imports what it uses and nothing else: start-up is most of what a small account waits for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.packages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = Path(sysconfig.get_path("scripts")) / "reconciler"
EXAMPLE = ROOT / "keys.yaml.example"
IMPORT = re.compile(r"^import time: .*\| +(.+)\n", re.MULTILINE)


def imported_by(*arguments: str, **environment: str) -> set[str]:
    """Run the command as a person would and give the top-level modules that the process imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, *arguments],
        capture_output=True,
        check=False,
        env={"PATH": os.defpath, **environment},  # nothing of coverage, which imports modules of its own
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, IMPORT.sub("", done.stderr)
    modules = IMPORT.findall(done.stderr)
    assert "reconciler" in modules
    return {name.partition(".")[0] for name in modules}


class EmptyAccount(BaseHTTPRequestHandler):
    """An account without keys, and without anything else that a plan would like to read."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the name that http.server calls
        body = json.dumps({"keys": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the signature is http.server's
        """Keep the tests' output quiet."""


@contextmanager
def empty_account() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyAccount) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


HEAVY = {"asyncio", "deepdiff", "httpcore", "jsonschema", "jsonschema_rs", "rich", "starlette", "uvicorn", "yaml"}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]], ids=" ".join)
def test_saying_what_it_is_imports_nothing_heavy(arguments: list[str]) -> None:
    assert imported_by(*arguments) & HEAVY == set()


@pytest.mark.parametrize("line", ["reconciler ", "reconciler plan --", "reconciler list --format "])
def test_the_tab_key_imports_no_more_than_it_proposes(line: str) -> None:
    imported = imported_by(_RECONCILER_COMPLETE="zsh_complete", COMP_LINE=line)
    assert imported & {*HEAVY, "sqlite3", "subprocess"} == set()


def test_validating_a_valid_file_touches_neither_the_network_nor_the_slow_validator() -> None:
    imported = imported_by("validate", "-f", str(EXAMPLE))
    assert imported & HEAVY == {"jsonschema_rs", "yaml"}


COUNT_COLLECTIONS = """
import atexit, gc, sys

from reconciler.cli.main import main

def collections():
    return sum(generation["collections"] for generation in gc.get_stats())

gc.collect()
begun = collections()
atexit.register(lambda: print(collections() - begun, gc.get_freeze_count() > 0, file=sys.stderr))
sys.argv[1:] = ["validate", "-f", sys.argv[1]]
main()
"""


def test_a_run_does_not_look_for_garbage_that_its_end_takes_away_anyway() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT_COLLECTIONS, EXAMPLE],
        capture_output=True,
        check=True,
        env={"PATH": os.defpath},
        text=True,
        timeout=60,
    )
    assert done.stderr.splitlines()[-1] == "0 True"


def test_planning_on_the_service_imports_no_server() -> None:
    with empty_account() as url:
        imported = imported_by("plan", "-f", str(EXAMPLE), NAGA_BASE_URL=url, NAGA_PROVISIONING_KEY="ng-provisioning")
    assert "httpcore" in imported
    assert imported & {"jsonschema", "starlette", "uvicorn"} == set()
