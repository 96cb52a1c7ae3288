"""Photographs what reconciler shows on a page: the comment on a pull request and the report, in the light and the dark.

    make photos

Both pages are made by real commands on a simulated account. It needs Chromium and pngquant, and other releases of them
draw other bytes, so the photographs are made by hand, and no test makes them anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import cmarkgfm  # type: ignore[import-untyped]  # it ships no types
from cmarkgfm.cmark import Options  # type: ignore[import-untyped]  # the same

import screen
from reconciler.simulator import State
from reconciler.simulator.fields import generate

IMAGES: Final = Path(__file__).parents[1] / "images"
CHROMIUM: Final = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium"
FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
)
SCHEMES: Final = {"light": (), "dark": ("--blink-settings=preferredColorScheme=0",)}
BASE: Final = (
    screen.KEYS.replace("api: {credit_limit: 500}", "api: {credit_limit: 400}\n      batch: {credit_limit: 50}")
    .replace("      search: {credit_limit: 150, description: new in this pull request}\n", "")
    .replace("tests: {credit_limit: 25}", "tests: {credit_limit: 25}\n      nightly: {credit_limit: 10}")
)
"""The file before the pull request."""
JOB: Final = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/keys",
    "GITHUB_SHA": "7f3c1e9a5b2d4f60718293a4b5c6d7e8f9012345",
    "GITHUB_ACTOR": "anna",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_RUN_ID": "4711",
}
# What a forge puts around a comment, near enough.
PAGE: Final = """\
<!doctype html><meta charset="utf-8"><style>
:root { color-scheme: light dark; font: 14px/1.5 "Liberation Sans", Helvetica, Arial, sans-serif;
  --back: light-dark(#fff, #0d1117); --text: light-dark(#1f2328, #e6edf3); --line: light-dark(#d1d9e0, #3d444d);
  --head: light-dark(#f6f8fa, #151b23); --link: light-dark(#0969da, #4493f8) }
body { margin: 0; padding: 12px; background: var(--back); color: var(--text) }
article { border: 1px solid var(--line); border-radius: 6px }
header { background: var(--head); border-bottom: 1px solid var(--line); padding: 8px 16px; border-radius: 6px 6px 0 0 }
main { padding: 4px 16px 8px } a { color: var(--link); text-decoration: none }
table { border-collapse: collapse; margin: 8px 0; font-size: 13px } h3, h4 { margin: 12px 0 8px }
th, td { border: 1px solid var(--line); padding: 4px 10px; text-align: left; vertical-align: top }
th { background: var(--head) }
code { background: var(--head); padding: 1px 4px; border-radius: 4px; font: 12px "DejaVu Sans Mono", monospace }
</style><article><header><b>github-actions</b> bot commented</header><main>%s</main></article>
"""


def main() -> None:
    """Make the photographs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        screen.prepare(folder)
        with State(folder / "account.db") as state:
            generate(state, seed=3)
        (folder / "base.yaml").write_text(BASE, "utf-8")
        reconciler("plan", "--format", "github", "--base", "base.yaml", folder=folder, GITHUB_STEP_SUMMARY="comment.md")
        text = (folder / "comment.md").read_text("utf-8")
        comment = PAGE % cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE)
        (folder / "comment.html").write_text(comment, "utf-8")
        reconciler("report", "--out", "report.html", folder=folder)
        for scheme, flags in SCHEMES.items():
            photograph(folder / "comment.html", f"comment-{scheme}", "--window-size=960,720", *flags)
            photograph(folder / "report.html", f"report-{scheme}", "--window-size=1080,1120", *flags)


def reconciler(command: str, *words: str, folder: Path, **variables: str) -> None:
    """Run a command of reconciler on the simulated account."""
    run(screen.COMMAND, command, *words, "--simulator", "account.db", folder=folder, **variables)


def photograph(page: Path, name: str, *flags: str) -> None:
    """Photograph a page."""
    picture = IMAGES / f"{name}.png"
    profile = f"--user-data-dir={page.parent}/profile"
    run(CHROMIUM, *FLAGS, *flags, profile, f"--screenshot={picture}", page.as_uri(), folder=page.parent)
    run("pngquant", "--force", "--strip", "--output", picture, "64", picture, folder=page.parent)


def run(*command: str | Path, folder: Path, **variables: str) -> None:
    """Run a program in a folder, as in a job; ends with an error when it does."""
    environment = {**os.environ, **JOB, **variables}
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)  # noqa: S603  # our own words
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}: {done.stderr}")


if __name__ == "__main__":
    main()
