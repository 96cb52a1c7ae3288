"""`fmt`: one form for each file, with the meaning and the comments it had."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import yaml

from reconciler.declaration import SourceFile, load_sources
from reconciler.errors import DeclarationError, UsageError
from reconciler.formatting import canonical
from reconciler.formatting.canonical import check_shape, formatted
from support.packages import ROOT
from support.writing import comments, fmt, meaning, without_places, written

EXAMPLES = sorted((ROOT / "tests/examples/valid").rglob("*.yaml"))


def source(path: Path) -> SourceFile:
    return SourceFile(str(path), path.parent, path.read_bytes())


def keys(fields: str) -> str:
    """Write a canonical file with one key, its fields given line by line."""
    body = textwrap.indent(textwrap.dedent(fields).strip("\n"), " " * 8)
    return f"version: 1\n\nenvironments:\n  e:\n    keys:\n      k:\n{body}\n"


@pytest.mark.parametrize("parser", ["libyaml", "pure"])
@pytest.mark.parametrize("path", [*EXAMPLES, ROOT / "keys.yaml.example"], ids=lambda path: path.name)
def test_every_example_keeps_its_meaning_and_its_comments_and_is_stable(
    path: Path, parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parser == "pure":
        monkeypatch.delattr(yaml, "CSafeLoader")
    before = source(path)
    siblings = [source(other) for other in path.parent.glob("*.yaml")] if path.parent.name == "two-files" else [before]
    after = [SourceFile(each.name, each.folder, formatted(each)) for each in siblings]
    assert without_places(load_sources(siblings)) == without_places(load_sources(after))
    assert [formatted(each) for each in after] == [each.content for each in after]
    assert comments(formatted(before).decode()) == comments(before.content.decode())


CASES = {
    "fields stand in the order of the schema, with what is above and beside them": (
        """
        environments:
          e:
            keys:
              # about k
              k:
                team: a  # who
                # how much
                credit_limit: 5
            protected: true # sure
        # the format
        version: 1
        """,
        """
        # the format
        version: 1

        environments:
          e:
            protected: true  # sure
            keys:
              # about k
              k:
                # how much
                credit_limit: 5
                team: a  # who
        """,
    ),
    "environments and keys stay where their author put them, a blank line between environments": (
        """
        version: 1
        environments:
          b: {keys: {}}
          a:
              keys:


                  z: {credit_limit: 1}


                  x: {credit_limit: 2}
          c: {keys: {}}
        """,
        """
        version: 1

        environments:
          b: {keys: {}}

          a:
            keys:
              z: {credit_limit: 1}

              x: {credit_limit: 2}

          c: {keys: {}}
        """,
    ),
    "what stands in braces stays there while it fits on one line": (
        """
        version: 1
        environments: {e: {keys: {k: {credit_limit: 1,
          team: a}, LONG: {team: b, credit_limit: 2, description: "LONG"}}}}
        """.replace("LONG", "l" * 60),
        """
        version: 1

        environments:
          e:
            keys:
              k:
                credit_limit: 1
                team: a
              LONG:
                credit_limit: 2
                description: LONG
                team: b
        """.replace("LONG", "l" * 60),
    ),
    "braces with comments inside are opened": (
        """
        version: 1
        environments: { # all
          e: {keys: {
            # none yet
          }}, # the only one
        }
        """,
        """
        version: 1

        environments:   # all
          e:  # the only one
            # none yet
            keys: {}
        """,
    ),
    "comments keep their column where there is room": (
        """
        version: 1                   # one
        naming: "{environment}/{key}"# no comment"
        environments: {}             # none
        """.replace('"# no comment"', '"   # two'),
        """
        version: 1                   # one
        naming: "{environment}/{key}"   # two
        environments: {}             # none
        """,
    ),
    "comments at the end of a group stay in it": (
        """
        # at the top

        version: 1
        guardrails:
          max_deletions: 2
          # require_limit: true

        # not in guardrails
        defaults:
          team: a
            # odd
        environments: {}

        # at the end
        """,
        """
        # at the top

        version: 1

        guardrails:
          max_deletions: 2
          # require_limit: true

        # not in guardrails
        defaults:
          team: a
          # odd

        environments: {}

        # at the end
        """,
    ),
    "items are indented, and comments of a list that is not stay outside": (
        """
        version: 1
        destinations: {local: {type: dotenv, path: a.env}}
        environments:
          e:
            deliver:
            - as: A  # a
              # which
              to: local
            # the keys
            keys: {}
        """,
        """
        version: 1
        destinations: {local: {type: dotenv, path: a.env}}

        environments:
          e:
            deliver:
              # which
              - to: local
                as: A  # a
            # the keys
            keys: {}
        """,
    ),
    "comments between a dash and its item, and between a name and its value, go above": (
        """
        version:
          # which
          1
        ignore:
          -
            # why
            a*
          # and
          - b*
          # no more
        environments: {}
        """,
        """
        # which
        version: 1

        ignore:
          # why
          - "a*"
          # and
          - "b*"
          # no more

        environments: {}
        """,
    ),
    "two comments of one field are both kept": (
        """
        version: 1
        environments: # first
          {} # second
        """,
        """
        version: 1
        # first
        environments: {}  # second
        """,
    ),
    "directives and the marks around a document go": (
        "%YAML 1.2  # which\n---\nversion: 1\nenvironments: {}\n...\n",
        "# which\nversion: 1\nenvironments: {}\n",
    ),
    "anchors, aliases and merges survive": (
        """
        version: 1
        defaults: &all # shared
          credit_limit: 1
        environments:
          e:
            keys: &keys
              a: &a
                team: &team x
                <<: *all
              b: {<<: [*all, {team: *team}]}
              c: *a
              &d d: &e {}
              f: {description: &g "g", team: *d}
              g: &none
                {}
          f: {keys: *keys}
        """,
        """
        version: 1

        defaults: &all  # shared
          credit_limit: 1

        environments:
          e:
            keys: &keys
              a: &a
                <<: *all
                team: &team x
              b: {<<: [*all, {team: *team}]}
              c: *a
              &d d: &e {}
              f: {description: &g g, team: *d}
              g: &none {}

          f: {keys: *keys}
        """,
    ),
    "an alias does not get in front of its anchor": (
        """
        version: 1
        environments:
          e:
            keys: {a: {credit_limit: 1, description: &text same, team: x}, b: {team: q, credit_limit: 2}}
            defaults: {team: *text}
        """,
        """
        version: 1

        environments:
          e:
            keys: {a: {credit_limit: 1, description: &text same, team: x}, b: {credit_limit: 2, team: q}}
            defaults: {team: *text}
        """,
    ),
    "an item that has an anchor starts below its dash": (
        """
        version: 1
        destinations: {local: {type: dotenv, path: a.env}}
        environments:
          e: {keys: {}, deliver: [&d
             {to: local,
              as: A}]}
          f:
            deliver: [*d]
            keys: {}
        """,
        """
        version: 1
        destinations: {local: {type: dotenv, path: a.env}}

        environments:
          e:
            deliver:
              - &d
                to: local
                as: A
            keys: {}

          f:
            deliver: [*d]
            keys: {}
        """,
    ),
}


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES.keys())
def test_the_canonical_form(before: str, after: str) -> None:
    before, after = textwrap.dedent(before).lstrip("\n"), textwrap.dedent(after).lstrip("\n")
    assert fmt(before) == after
    assert fmt(after) == after
    assert meaning(written(before)) == meaning(written(after))


SPELLINGS = [
    ("credit_limit: +0.50", "credit_limit: 0.50"),
    ("credit_limit: .5", "credit_limit: 0.5"),
    ("credit_limit: 5.", "credit_limit: 5"),
    ("credit_limit: 12.50", "credit_limit: 12.50"),
    ("credit_limit: ~", "credit_limit: null"),
    ("is_enabled: TRUE", "is_enabled: true"),
    ('expires_at: "2027-01-01T00:00:00Z"', "expires_at: 2027-01-01T00:00:00Z"),
    ("expires_at: 2027-01-01T01:00:00+01:00", "expires_at: 2027-01-01T01:00:00+01:00"),
    ("rotate_every: '24h'", "rotate_every: 24h"),
    ("team: 'a b'", "team: a b"),
    ("team: 'no'", 'team: "no"'),
    ("team: '012'", 'team: "012"'),
    ("team: '1.5'", 'team: "1.5"'),
    ("team: 2027-01-01", 'team: "2027-01-01"'),
    ("team: 'a: b'", 'team: "a: b"'),
    ("team: a:b", "team: a:b"),
    ("team: 'a:'", 'team: "a:"'),
    ("team: 'a '", 'team: "a "'),
    ("team: ''", 'team: ""'),
    ("team: a[b]", 'team: "a[b]"'),
    ("team: a#b", 'team: "a#b"'),
    ("team: a?", 'team: "a?"'),
    ("team: --x", "team: --x"),
    ("team: '---'", 'team: "---"'),
    ("team: '-'", 'team: "-"'),
    ('team: "say \\"x\\""', "team: 'say \"x\"'"),
    ("team: 'it''s \"x\"'", 'team: "it\'s \\"x\\""'),
    ('team: "a\\tb\\u202e\\U000e0001\\x85"', 'team: "a\\tb\\u202e\\U000e0001\\x85"'),
    ("team: a\n  b", "team: a b"),
    ("team: Zürich", "team: Zürich"),
    ("description: | # text\n   a\n\n     b\n", "description: |  # text\n  a\n\n    b"),
    ("description: >-\n    a\n    b\n", "description: >-\n  a\n  b"),
    ("description: |+\n  a\n\nteam: x", 'description: "a\\n\\n"\n\nteam: x'),
    ("description: |2\n   a\n", 'description: " a\\n"'),
    ("description: |\n\n", 'description: ""'),
]


@pytest.mark.parametrize(("before", "after"), SPELLINGS)
def test_how_values_are_spelled(before: str, after: str) -> None:
    limit = "" if "credit_limit" in before else "credit_limit: 1\n"
    assert fmt(keys(limit + before)) == keys(limit + after)
    assert fmt(keys(limit + after)) == keys(limit + after)


@pytest.mark.parametrize(("before", "after"), [("no", '"no"'), ("123", '"123"'), ("1e3", '"1e3"'), ('"a"', "a")])
def test_names_that_other_programs_read_as_something_else_are_quoted(before: str, after: str) -> None:
    text = "version: 1\n\nenvironments:\n  e:\n    keys: {%s: {credit_limit: 1}}\n"
    assert fmt(text % before) == text % after


def test_a_text_at_the_very_end_of_a_file_keeps_its_end() -> None:
    assert fmt(keys("credit_limit: 1\ndescription: |\n  a").rstrip("\n")) == keys(
        "credit_limit: 1\ndescription: |-\n  a"
    )


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_lines_end_alike(start: bytes, end: bytes) -> None:
    content = start + b"version: 1" + end + b"environments: {}" + end
    assert formatted(SourceFile("keys.yaml", Path(), content)) == b"version: 1\nenvironments: {}\n"


def test_a_line_break_that_is_none_for_others_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"keys.yaml holds the line break U\+2028, which not every program takes for one"
    ):
        fmt("version: 1  # a\u2028environments: {}\n")


def test_what_is_wrong_in_several_files_comes_at_once() -> None:
    files = [written("version: 2\n", "a.yaml"), written("versio: 1\n", "b.yaml"), written("{", "c.yaml")]
    with pytest.raises(DeclarationError) as caught:
        check_shape(files)
    assert [found.location.file for found in caught.value.diagnostics] == ["a.yaml", "b.yaml", "c.yaml"]


def test_a_file_of_a_folder_may_lack_what_the_others_have() -> None:
    check_shape([written("version: 1\nenvironments: {e: {keys: {k: {deliver: [{to: elsewhere, as: A}]}}}}\n")])


def test_settings_of_an_unknown_type_keep_their_order() -> None:
    text = "version: 1\n\ndestinations:\n  d: {type: other, b: 1, a: {z: [{w: 1, x: 2}, ./run]}}\n\nenvironments: {}\n"
    assert fmt(text) == text


def test_a_file_whose_meaning_would_change_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "printed", lambda _: "version: 1\nenvironments: {e: {keys: {}}}\n")
    with pytest.raises(UsageError, match=r"^keys.yaml can't be written in another form without a change"):
        fmt("version: 1\nenvironments: {}\n")
