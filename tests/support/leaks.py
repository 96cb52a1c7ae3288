"""Looks for a secret in everything that an error could show of it."""

from __future__ import annotations

import traceback


def everything_shown(error: BaseException) -> str:
    """Give the traceback of an error with the locals of all its frames, and the arguments of its whole chain."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    parts = ["".join(shown)]
    link: BaseException | None = error
    while link is not None:
        parts.append(f"{link!r} {link} {link.args!r} {vars(link)!r}")
        link = link.__cause__ or link.__context__
    return "\n".join(parts)
