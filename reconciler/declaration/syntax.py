"""What the YAML parser complains about, in the words of somebody who doesn't write parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import yaml

    from reconciler.declaration.nodes import Mark

# What the complaint contains, in the C parser's words or in the pure one's, and what it means; the first match counts.
_AT_THE_START: Final = (  # of what the parser was reading, rather than where it gave up
    ("could not find expected ':'", "a ':' is missing after this name"),
    ("quoted scalar found unexpected end of stream", "a quoted text is opened here and never closed"),
    ("quoted scalar found unexpected document", "a quoted text is opened here and never closed"),
    ("',' or ']'", "a list is opened with '[' here and goes on without ',' or ends without ']'"),
    ("',' or '}'", "a mapping is opened with '{' here and goes on without ',' or ends without '}'"),
)
_AT_THE_END: Final = (
    ("mapping values are not allowed", "a ':' can't stand here: quote the text if it holds ': ', and check the indent"),
    ("found unexpected ':'", "a ':' in a text can't stand here: put a space behind it, or quote the text"),
    ("quoted scalar", "a backslash in double quotes starts an escape; write two, or use single quotes"),
    ("cannot start any token", "a text can't start with this character; quote it, and indent with spaces only"),
    ("sequence entries are not allowed", "a '- ' can't start a list here; put it on a line of its own"),
    ("expected '-' indicator", "the items of a list must start at the same column, each with '- '"),
    ("did not find expected key", "this line is indented otherwise than those that it belongs to"),
    ("expected <block end>", "this line is indented otherwise than those that it belongs to"),
    ("scanning an anchor", "a name must follow the & of an anchor at once"),
    ("scanning an alias", "a name must follow the * of an alias at once; quote a text that starts with *"),
    ("tab character", "a tab can't indent; use spaces"),
    ("undefined tag handle", "tags like !name can't be used; remove it"),
    ("incompatible YAML document", "a %YAML directive for another version of YAML can't be used; remove it"),
    ("<document start>", "this can't stand beside the rest of the file; check the indent"),
)


def meaning(error: yaml.MarkedYAMLError) -> tuple[Mark | None, str]:
    """Say what a syntax error means and where it is; in the parser's own words where no better ones are known."""
    said = f"{error.context or ''} {error.problem}"
    for part, words in _AT_THE_START:
        if part in said and error.context_mark is not None:
            return error.context_mark, words
    for part, words in _AT_THE_END:
        if part in said:
            return error.problem_mark, words
    return error.problem_mark, f"this is not YAML: {said.strip()}"
