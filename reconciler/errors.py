"""What can go wrong, and the exit code each kind ends the process with.

    ReconcilerError                          1
    ├── UsageError                           1   the command line or the environment is wrong
    ├── DeclarationError                     1   keys.yaml is wrong; carries every diagnostic
    ├── AccountError                         1   talking to the NagaAI API failed
    │   ├── ConnectionFailed                 1   no answer: refused, reset, timed out, TLS
    │   ├── UnexpectedAnswer                 1   an answer that the documentation does not describe
    │   ├── IncompleteList                   1   a list of keys that is not the whole account, or too old
    │   ├── AmbiguousCreate                  1   a POST that may or may not have created a key
    │   ├── RefusedByService                 1   an error status with its type and message
    │   ├── LockTimeout                      1   another apply has locked the account for too long
    │   └── LockLost                         1   the lock on the account has run out, so nothing more is written
    ├── DestinationError                     1   a secret could not be delivered
    ├── ForgeError                           1   GitHub or GitLab could not be asked, or does not do as it was asked
    │   └── NotPermitted                     1   what the token is good for does not suffice
    ├── NotificationError                    1   what was found could not be told, or not be remembered as told
    ├── GuardrailRefused                     3   a finding of severity error forbids the plan
    ├── StalePlan                            4   the account moved since the plan was made
    ├── PartlyApplied                        5   some changes are done, some are not
    └── Interrupted                        130   Ctrl-C, or a cancelled job

Every message is one line, names what it is about and, where there is something to do, says what.
"""

from __future__ import annotations

from copyreg import __newobj__  # type: ignore[attr-defined]  # documented with pickle, and missing in the stubs
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.diagnostic import Diagnostic


class ReconcilerError(Exception):
    """The root of everything this program raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Arrive in another process as it is: made anew from its message, it would lack what is kept beside that."""
        return __newobj__, (type(self), *self.args), vars(self)


class UsageError(ReconcilerError):
    """The command line or the environment does not allow to go on."""


class DeclarationError(ReconcilerError):
    """The declaration is wrong; `diagnostics` holds everything found, in reading order."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Keep the diagnostics; the message is all of them, a line each."""
        super().__init__("\n".join(str(diagnostic) for diagnostic in diagnostics))
        self.diagnostics = tuple(diagnostics)


class AccountError(ReconcilerError):
    """Talking to the NagaAI API failed."""


class ConnectionFailed(AccountError):
    """No answer arrived: refused, reset, timed out, or no trust in the certificate."""


class UnexpectedAnswer(AccountError):
    """The service answered something its documentation does not describe."""


class IncompleteList(AccountError):
    """The list of keys is not the whole account, or older than what was written before it was read."""


class AmbiguousCreate(AccountError):
    """A POST whose outcome is unknown: the key may exist, and its secret is lost if it does."""


class RefusedByService(AccountError):
    """The service answered with an error status."""

    def __init__(self, message: str, *, status: int) -> None:
        """Keep the HTTP status beside the message."""
        super().__init__(message)
        self.status = status


class LockTimeout(AccountError):
    """Another apply held the account's lock for longer than this one wanted to wait."""


class LockLost(AccountError):
    """This run's lock may have run out, so that another apply may write by now, and this one must not."""


class DestinationError(ReconcilerError):
    """A destination cannot take a secret; the message never holds the secret.

    `uncertain` says that the secret may be there all the same: an answer was lost.
    """

    def __init__(self, message: str, *, uncertain: bool = False) -> None:
        """Keep whether the secret may have arrived beside the message."""
        super().__init__(message)
        self.uncertain = uncertain


class ForgeError(ReconcilerError):
    """GitHub or GitLab could not be asked, or does not do as it was asked; the message never holds a token."""


class NotPermitted(ForgeError):
    """The token does not suffice for what was asked."""


class NotificationError(ReconcilerError):
    """Alerts could not be told to somebody, or that they were could not be remembered; holds no URL."""


class GuardrailRefused(ReconcilerError):
    """The plan has a finding of severity error, so nothing may be written."""

    exit_code = 3


class StalePlan(ReconcilerError):
    """What was planned is not what the account needs now."""

    exit_code = 4


class PartlyApplied(ReconcilerError):
    """Some of the changes are done and some are not."""

    exit_code = 5


class Interrupted(ReconcilerError):
    """The run was asked to stop before its work was done."""

    exit_code = 130
