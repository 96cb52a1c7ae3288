"""The service's time, which decides about leases, grace periods and expiries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Far enough from the ends of the calendar that any lease or grace period can be added.
_OUR_AGE: Final = range(1970, 9000)
# A Date header is cut to the second and as old as its way here: up to this much behind is no news.
_ROUNDING: Final = timedelta(seconds=2)


def parse_http_date(text: str | None) -> datetime | None:
    """Read a Date or Retry-After header as UTC; None for anything that is no date of our age."""
    try:
        date = parsedate_to_datetime(text or "")
        # A date of HTTP is in UTC, also in the old form that doesn't say so.
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return date if date.year in _OUR_AGE else None


class ServiceClock:
    """Tells the service's time: the newest Date header and the monotonic time since.

    Before the first answer it tells this machine's.
    """

    def __init__(self, machine: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        """Take this machine's clock (UTC) and its monotonic one (seconds)."""
        self.machine = machine
        self._monotonic = monotonic
        self._heard: tuple[datetime, float] | None = None

    def hear(self, date: datetime | None) -> None:
        """Take in the Date of an answer that has just arrived."""
        if date is None:
            return
        behind = self.now() - date
        if self._heard is None or not timedelta(0) <= behind <= _ROUNDING:
            self._heard = (date, self._monotonic())

    def now(self) -> datetime:
        """Tell the service's time, in UTC."""
        if self._heard is None:
            return self.machine()
        date, at = self._heard
        return date + timedelta(seconds=self._monotonic() - at)

    @property
    def skew(self) -> timedelta:
        """The service's time minus this machine's; zero before the first answer."""
        return timedelta(0) if self._heard is None else self.now() - self.machine()
