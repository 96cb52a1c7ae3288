"""Markdown as GitHub's own parser reads it, and what a forge would make of the text that is left."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import cmarkgfm  # type: ignore[import-untyped]  # it ships no types
from cmarkgfm.cmark import Options  # type: ignore[import-untyped]  # the same

# GitHub lets HTML through to a sanitizer of its own, and knows footnotes.
_OPTIONS = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES

# What GitHub looks for in text that is not code: @mentions, #1, GH-1, commits, :emoji:, $formulas$, addresses, and
# whatever a repository links by a prefix (ABC-1). Everything that none of them can be made of is let through.
_ACTIVE = re.compile(r"[@#$<>\[\]`*~^\\|&]|\b[0-9a-f]{7,40}\b|[^\W\d_]-?\d|:\w|\w:[/\w]|\w\.\w|//")


class Page(HTMLParser):
    """A rendered page: its elements by name, the rows of its tables, its code, and the text that is not code."""

    def __init__(self, markdown: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.comments: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.code: list[str] = []
        self.prose: list[str] = []
        self._in_code = False
        self._in_cell = False
        self.feed(cmarkgfm.github_flavored_markdown_to_html(markdown, options=_OPTIONS))
        self.close()

    @property
    def active(self) -> list[str]:
        """What a forge could turn into a link, a mention or a picture."""
        return [text for text in self.prose if _ACTIVE.search(text)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
            self._in_cell = True
        elif tag == "code":
            self.code.append("")
            self._in_code = True
        elif tag == "br" and self._in_cell:
            self.tables[-1][-1][-1] += "\n"

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._in_cell = False
        elif tag == "code":
            self._in_code = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.tables[-1][-1][-1] += data
        if self._in_code:
            self.code[-1] += data
        else:
            self.prose.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_decl(self, decl: str) -> None:
        self.comments.append(decl)

    def handle_pi(self, data: str) -> None:
        self.comments.append(data)

    def unknown_decl(self, data: str) -> None:
        self.comments.append(data)
