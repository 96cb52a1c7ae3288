"""An HTML page as the standard reads it, and what it would ask the network for or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import html5lib

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

_URLS = {"action", "background", "cite", "code", "data", "formaction", "href", "icon", "manifest", "ping", "poster"}
_URLS |= {"profile", "src", "srcset", "xlink:href"}
_RUNS = {"applet", "audio", "base", "embed", "frame", "iframe", "image", "img", "link", "object", "script", "source"}
_RUNS |= {"use", "video", "foreignObject", "animate", "set"}


class HtmlPage:
    """A page without a single error: reading it raises otherwise."""

    def __init__(self, text: str) -> None:
        builder = html5lib.getTreeBuilder("etree")
        parser = html5lib.HTMLParser(tree=builder, strict=True, namespaceHTMLElements=False)
        self.root: Element = parser.parse(text)

    def all(self, *tags: str) -> Iterator[Element]:
        """Give the elements of these names, of all for none, SVG's as well, in the order of the page."""
        for element in self.root.iter():
            if not callable(element.tag) and (not tags or local(element) in tags):  # a comment's tag is a function
                yield element

    def texts(self, *tags: str) -> list[str]:
        return [text(element) for element in self.all(*tags)]

    def by_id(self, ident: str) -> Element:
        (found,) = (element for element in self.all() if element.get("id") == ident)
        return found

    @property
    def ids(self) -> list[str]:
        return [ident for element in self.all() if (ident := element.get("id")) is not None]

    @property
    def requests(self) -> list[str]:
        """Whatever asks for something else than a place on the page, or runs, or looks other than the policy says."""
        found = [local(element) for element in self.all(*_RUNS)]
        for element in self.all():
            for name, value in element.attrib.items():
                if (name.lower() in _URLS and not value.startswith("#")) or name.startswith("on") or name == "style":
                    found.append(f"{local(element)} {name}={value}")
            if (element.get("http-equiv") or "").lower() == "refresh":
                found.append("refresh")
        found += [
            rule for rule in ("url(", "@import", "image-set(", "src:") for css in self.texts("style") if rule in css
        ]
        return found

    def table(self, caption: str) -> list[list[str]]:
        """Give the table of that caption, its head first."""
        (found,) = (each for each in self.all("table") if text(next(each.iter("caption"))) == caption)
        return [[text(cell) for cell in row if local(cell) in {"th", "td"}] for row in found.iter("tr")]


def local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def text(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())
