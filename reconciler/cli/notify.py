"""Sends a message through Apprise, to the URLs of an environment variable.

The URLs hold tokens. Apprise's own words about them, and what its services raise, are therefore shown to nobody: what
went wrong is said by the place of a URL in the variable and by the name of its service.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.cli.extras import need_extra
from reconciler.errors import NotificationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from apprise.plugins.base import NotifyBase

    from reconciler.diagnostic import Severity

URLS_VARIABLE: Final = "RECONCILER_NOTIFY_URLS"

# A comma may also stand within a URL, a space may not.
_BETWEEN: Final = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)|\s+")


@dataclass(frozen=True, slots=True)
class Channel:
    """One URL of the variable, ready to take a message; `label` names it without what it holds."""

    label: str
    service: NotifyBase


def open_channels() -> tuple[Channel, ...]:
    """Get ready to send to all URLs of RECONCILER_NOTIFY_URLS; nothing is sent yet.

    Raises UsageError when there is none, when one cannot be used, or without the extra `notify`.
    """
    urls = [part for each in _BETWEEN.split(os.environ.get(URLS_VARIABLE, "")) if (part := each.strip(","))]
    if not urls:
        msg = f"--notify needs {URLS_VARIABLE}, with the Apprise URLs to send to, like mailto://… or slack://…"
        raise UsageError(msg)
    need_extra("notify", "apprise")
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(app_id="reconciler", app_desc="alerts of reconciler", app_url="")
    asset.http_redirects = False  # a message goes where it was meant to go, unless the URL itself says ?redirect=yes
    channels = []
    with _in_silence():
        for number, url in enumerate(urls, 1):
            service = Apprise.instantiate(url, asset=asset)
            if service is None:
                msg = f"{URLS_VARIABLE}: URL {number} of {len(urls)} is none that Apprise can use; correct or remove it"
                raise UsageError(msg)
            channels.append(Channel(f"URL {number} of {len(urls)} ({service.service_name})", service))
    return tuple(channels)


def send(channels: Sequence[Channel], title: str, body: str, severity: Severity | None) -> None:
    """Send a message in Markdown to every channel; `severity` None is good news.

    Raises NotificationError, once all have been tried, with those that did not take it.
    """
    from apprise import Apprise, NotifyFormat, NotifyType

    kinds = {"error": NotifyType.FAILURE, "warning": NotifyType.WARNING, "note": NotifyType.INFO}
    kind = NotifyType.SUCCESS if severity is None else kinds[severity.value]
    failed = []
    with _in_silence():
        for channel in channels:
            one = Apprise()
            one.add(channel.service)
            try:
                sent = bool(one.notify(body=body, title=title, notify_type=kind, body_format=NotifyFormat.MARKDOWN))
            except Exception:  # noqa: BLE001  # whatever it is, its words may hold the URL
                sent = False
            if not sent:
                failed.append(channel.label)
    if failed:
        msg = f"the message was not taken by {', '.join(failed)} of {URLS_VARIABLE}; it is sent again the next time"
        raise NotificationError(msg)


@contextmanager
def _in_silence() -> Iterator[None]:
    """Let Apprise say nothing: neither in its log nor as a warning."""
    log = logging.getLogger("apprise")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before
