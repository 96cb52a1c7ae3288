"""Words from outside: one short line, and no secret in it however it is spelt."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote as url_quoted

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.http.redact import LONGEST_QUOTE, quote, redact, redact_names, without
from reconciler.secret import HIDDEN, Secret
from support.account import CREDENTIAL, ISSUED
from support.search import examples

KEY = Secret(CREDENTIAL)
ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LONG = st.text(ALNUM, min_size=24, max_size=60)
ANY = st.text(st.characters(codec="utf-8"), min_size=8, max_size=60).filter(lambda text: text.strip() == text)


def spellings(secret: str, before: str = "", after: str = "") -> dict[str, str]:
    """Spell a secret in every way that is promised to be seen through."""
    content, around = secret.encode(), (before + secret + after).encode()
    return {
        "plain": secret,
        "json": json.dumps(secret)[1:-1],
        "json in json": json.dumps(json.dumps(secret)[1:-1])[1:-1],
        "every character in json": "".join(f"\\u{ord(c):04X}" for c in secret if ord(c) < 0x10000),
        "url": url_quoted(secret, safe=""),
        "every byte in url": "".join(f"%{b:02x}" for b in content),
        "twice in url": url_quoted("".join(f"%{b:02X}" for b in content), safe=""),
        "python": "".join(f"\\x{b:02x}" for b in content),
        "html": html.escape(secret),
        "every character in html": "".join(f"&#{ord(c)};" for c in secret),
        "hexadecimal html": "".join(f"&#x{ord(c):X};" for c in secret),
        "hex": content.hex(),
        "HEX": content.hex().upper(),
        "reversed": secret[::-1],
        "base64": base64.b64encode(around).decode(),
        "base64 for urls": base64.urlsafe_b64encode(around).decode(),
        "base64 in a url": url_quoted(base64.b64encode(around).decode(), safe=""),
        "utf-16": "\0".join(secret),
        "broken": "\n ".join(secret),
    }


@settings(max_examples=examples(60), deadline=None)
@given(secret=LONG, before=st.text(ALNUM, max_size=7), after=st.text(ALNUM, max_size=7), keep=st.integers(0, 8))
def test_no_spelling_of_a_secret_or_of_the_most_of_it_is_left(secret: str, before: str, after: str, keep: int) -> None:
    for name, spelt in spellings(secret, before, after).items():
        shown = redact(f"<{spelt}>", [Secret(secret)])
        assert shown.startswith("<")
        assert shown.endswith(">")
        assert HIDDEN in shown, name
        # Of base64, the characters beside it hold what the secret and its neighbours share, and its neighbours.
        assert len(shown) <= len(HIDDEN) + (2 + 32 if "base64" in name else 2), name
    part = secret[keep : keep + 16]
    assert redact(f"<{part}>", [Secret(secret)]) == f"<{HIDDEN}>"


@settings(max_examples=examples(60), deadline=None)
@given(ANY, st.tuples(st.sampled_from(["", "key=", "\n"]), st.sampled_from(["", ";", "\n"])))
def test_a_secret_may_be_made_of_anything(secret: str, around: tuple[str, str]) -> None:
    before, after = around
    for name in ("plain", "json", "url", "html", "base64", "base64 for urls", "hex", "reversed"):
        spelt = spellings(secret)[name]
        spelt = spelt.rstrip("=") if "base64" in name else spelt
        assert redact(f"{before}{spelt}{after}", [Secret(secret)]) == f"{before}{HIDDEN}{after}", name


@pytest.mark.parametrize("before", range(6))
def test_base64_is_seen_through_at_whatever_byte_the_secret_begins(before: int) -> None:
    spelt = base64.b64encode(b"x" * before + CREDENTIAL.encode() + b"yz").decode()
    shown = redact(spelt, [KEY])
    assert HIDDEN in shown
    left = base64.b64decode(shown.partition(HIDDEN)[0][: 4 * before // 3 // 4 * 4])
    assert left == b"x" * (4 * before // 3 // 4 * 3)


def test_several_secrets_and_several_places_are_hidden() -> None:
    assert redact(f"{CREDENTIAL} and {CREDENTIAL[::-1]}, token hvs.0123456789", [Secret("hvs.0123456789"), KEY]) == (
        "<secret> and <secret>, token <secret>"
    )


@pytest.mark.parametrize(
    "text",
    [
        "status 403: forbidden",
        "a provisioning key is needed, like ng-provisioning…",
        "100% of 5 &amp; more \\n \\u00e9",
        "6e672d70726f766",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text, [Secret("ng-1"), KEY]) == text


def test_what_is_escaped_over_and_over_is_seen_through() -> None:
    spelt = CREDENTIAL
    for _ in range(3):
        spelt = "".join(f"%{byte:02X}" for byte in spelt.encode())
    assert redact(f"<{spelt}>", [KEY]) == f"<{HIDDEN}>"


def test_a_body_is_left_as_it_is_unless_it_holds_the_secret() -> None:
    assert without(b"\xff {}", KEY) == b"\xff {}"
    assert without(f'{{"url": "{CREDENTIAL}"}}'.encode(), KEY) == b'{"url": "<secret>"}'


def test_half_a_character_of_a_secret_is_hidden_too() -> None:
    assert redact("key ng-\udfff", [Secret("ng-\udfff")]) == "key <secret>"


def test_escapes_of_no_character_mean_nothing() -> None:
    assert redact("&#999999; &#xFFFFF; \\ud800\\udc00 \\ud800", [KEY]) == "&#999999; &#xFFFFF; \\ud800\\udc00 \\ud800"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("permission\n\tdenied ", "permission denied"),
        ("\x1b[31mred\u202e\x07", "\\x1b[31mred\\u202e\\x07"),
        ("zero\u200bwidth\u2028line", "zero\\u200bwidth line"),
        ("half\ud800", "half\\ud800"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("  über\u00a0alles\n", "über alles"),
        ("key ng-0123456789abcdefghijklmnop is taken", "key <secret> is taken"),
        ("naga_sk_0123456789abcdef", "<secret>"),
        (f"Incorrect key: {CREDENTIAL}.", "Incorrect key: <secret>."),
        (f"the new key is {ISSUED}", "the new key is <secret>"),
        ("a token=s.12345678", "a token=<secret>"),
        ("encoded cy4xMjM0NTY3OA==", "encoded <secret>=="),
        ("staging-production-api-2", "staging-production-api-2"),
        ("s.\x1b12345678", "s.\\x1b12345678"),
        ("s.1\x002345678", "<secret>"),
    ],
)
def test_foreign_text_becomes_one_line_without_secrets(said: str, shown: str) -> None:
    assert quote(said, [Secret("s.12345678"), KEY]) == shown


@pytest.mark.parametrize("before", [LONGEST_QUOTE - 10, 3_990])
def test_a_secret_is_not_cut_in_two_and_shown_in_half(before: int) -> None:
    for filler in ("x", " "):
        assert CREDENTIAL[:6] not in quote(filler * before + CREDENTIAL, [KEY])


def test_long_text_is_trimmed() -> None:
    line = quote("word " * 10_000)
    assert len(line) == LONGEST_QUOTE
    assert line.endswith("…")


@settings(max_examples=examples(100), deadline=None)
@given(before=st.text(max_size=400), secret=ANY, after=st.text(max_size=50))
def test_what_is_repeated_is_short_printable_and_without_the_secret(before: str, secret: str, after: str) -> None:
    shown = quote(before + secret + after, [Secret(secret)])
    assert secret not in shown
    assert shown.isprintable()
    assert len(shown) <= LONGEST_QUOTE


def test_names_are_given_back_as_they_are_or_without_the_secret() -> None:
    names = ["ci/a", "50% off", CREDENTIAL, f"x {CREDENTIAL.encode().hex()}", f"part {CREDENTIAL[2:20]}"]
    assert redact_names(names[:1], [KEY]) is not None
    assert list(redact_names(names[:2], [KEY])) == names[:2]
    assert list(redact_names(names, [KEY])) == ["ci/a", "50% off", "<secret>", "x <secret>", "part <secret>"]
    escaped = "".join(f"%{b:02x}" for b in CREDENTIAL.encode())
    assert list(redact_names([escaped], [KEY])) == ["<secret>"]


def test_a_name_that_holds_a_word_is_left_alone() -> None:
    assert list(redact_names(["ci/simulator"], [Secret("simulator")])) == ["ci/simulator"]
