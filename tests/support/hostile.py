"""Names that try to act on whoever shows them, for renderers of single values."""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "\x1b[2J\x1b]0;owned\x07",
    "a\nAll is well: no alert fired.",
    "\u202egnp.exe",
    "a\u200bb\u2066c",
    "::error::a ::warning::b",
    "##[group]a",
    "<script>alert(1)</script>|**b**|[c](javascript:d)",
    "a |\n| --- | --- |\n| b",
    "`a` ``b`` ```c ` ",
    "![a](https://example.com/a.png) https://example.com",
    "@everyone <!channel> <@U123> &lt;!here&gt;",
    "#123 deadbeef0123 :tada: $a$",
    "<!-- reconciler -->",
    " ",
)
