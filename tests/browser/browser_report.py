"""The page of `report` in a real browser: it asks the network for nothing, and nothing on it is refused.

Not part of `make test`, which asks for no browser: `make browser` runs it, and so does CI. CHROMIUM names another one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.render.html import render_page
from reconciler.render.report import report_page
from support.builders import NOW
from support.reviews import usual

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync", "--disable-extensions", "--enable-logging=stderr"]
QUIET += ["--host-resolver-rules=MAP * ~NOTFOUND"]
PROBE = "http://probe.invalid/picture.png"


def visit(page: str, folder: Path, *options: str) -> tuple[list[str], str]:
    """Open a page; gives the addresses of the network that were asked for, and what the browser complained of."""
    file, log, picture = folder / "report.html", folder / "net.json", folder / "page.png"
    file.write_text(page, "utf-8")
    command = [CHROMIUM, *QUIET, *options, f"--user-data-dir={folder}/profile", f"--log-net-log={log}"]
    done = subprocess.run(
        [*command, f"--screenshot={picture}", file.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    return _addresses(json.loads(log.read_text("utf-8"))), "\n".join(re.findall(r".*CONSOLE.*", done.stderr))


def _addresses(log: dict[str, Any]) -> list[str]:
    """Give what a page asked for; what the browser asks for itself has no page's origin, and gets no answer here."""
    asked = [event["params"] for event in log["events"] if "initiator" in event.get("params", {})]
    return sorted(
        {each["url"] for each in asked if each["initiator"] != "not an origin" and "file:" not in each["url"]}
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", [[], ["--blink-settings=preferredColorScheme=0"]])
def test_the_page_asks_the_network_for_nothing(tmp_path: Path, width: int, scheme: list[str]) -> None:
    page = render_page(report_page([usual()], 30, NOW, ["keys.yaml"]))

    assert visit(page, tmp_path, f"--window-size={width},2000", *scheme) == ([], "")


def test_a_page_that_asks_would_be_seen_and_the_policy_refuses_it(tmp_path: Path) -> None:
    page = render_page(report_page([usual()], 30, NOW, ["keys.yaml"]))
    picture = f'<img src="{PROBE}"><p style="color: red">x</p><script>document.title = 1</script></main>'
    spoilt = page.replace("</main>", picture)

    asked, complaints = visit(spoilt, tmp_path)
    assert asked == []
    assert complaints.count("Content Security Policy") >= 3

    (tmp_path / "open").mkdir()
    asked, _ = visit(re.sub(r"<meta http-equiv=[^>]*>", "", spoilt), tmp_path / "open")
    assert PROBE in asked
