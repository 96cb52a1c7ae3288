"""The `age` destination: a file a secret, encrypted for everybody among the recipients.

The file is armored, and its content is the secret alone, without a line break: what `age --decrypt` prints is the
secret. Nothing in such a file says whose secret it is without the private key of a recipient, so the destination does
not describe what it holds. Files are 0600 like everything that is written here; git does not record that.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyrage

from reconciler.declaration.destinations import Kind
from reconciler.destinations import files
from reconciler.destinations.base import Description, flag_setting, text_setting
from reconciler.destinations.shared import PerRun, one_line, repeated, utf8
from reconciler.errors import DestinationError
from reconciler.files import why_unfit
from reconciler.http.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Target
    from reconciler.secret import Secret

    Recipient = pyrage.x25519.Recipient | pyrage.ssh.Recipient

_NAME: Final = "{name}"
_HEADERS: Final = (b"-----BEGIN AGE ENCRYPTED FILE-----", b"age-encryption.org/")
_PRIVATE: Final = ("AGE-SECRET-KEY-", "PRIVATE KEY-----")
_KINDS: Final = "age1…, ssh-ed25519 … or ssh-rsa …"

_folders: PerRun[asyncio.Lock] = PerRun()
"""Files of one folder are written in turn: our own threads need not fight over the lock that is against others."""


class Age:
    """Files for the same recipients; see `Destination`.

    Settings: `path`, in which {name} stands for the name of the secret, and `recipients` or `recipients_file` or both;
    `outside`, that the path may be outside of the repository.
    """

    def __init__(self, target: Target) -> None:
        """Take the settings; the recipients are looked at when they are needed, nothing is touched yet.

        Raises:
            DestinationError: there is no usable path, or nobody to encrypt for.
        """
        settings = dict(target.settings)
        path, recipients = settings.get("path"), settings.get("recipients", ())
        recipients_file = settings.get("recipients_file")
        if not isinstance(path, str) or not path or "\0" in path:
            msg = f"the age destination {target.destination!r} needs the path of a file"
            raise DestinationError(msg)
        if not isinstance(recipients, tuple) or not isinstance(recipients_file, str | None):
            msg = f"the age destination {target.destination!r} needs recipients as a list, recipients_file as a path"
            raise DestinationError(msg)
        self._path = path
        self._root = target.root
        self._outside = settings.get("outside") is True
        self._reviewed = str(dict(target.resolved).get("recipients_file sha256", ""))
        self._recipients = recipients
        self._recipients_file = recipients_file

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, the recipients, and that the files can be written; see `Destination`."""
        problems = await asyncio.to_thread(lambda: list(dict.fromkeys(self._problems(names))))
        if problems:
            raise DestinationError(one_line(f"{self._path}: {'; '.join(problems)}"))

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Encrypt the secret and return when the file is on the disk; see `Destination`."""
        async with _folders.get(Path(self._path.replace(_NAME, secret_delivery.name)).parent, asyncio.Lock):
            # A copy: cancelled, this is over at once, and the thread is not.
            problem = await asyncio.to_thread(self._write, secret_delivery.name, secret_delivery.secret.copy())
        if problem is not None:
            # Raised here, from nothing: the frames that saw the secret are no part of the traceback.
            message = one_line(f"{secret_delivery.name} was not written to {self._path}: {problem.words}")
            raise DestinationError(message, uncertain=problem.uncertain)

    def _write(self, name: str, secret: Secret) -> files.Problem | None:
        """Write one file in a thread of its own, and say what went wrong; wipes the secret."""
        with secret:
            if not _is_file_name(name):
                return files.Problem("it is no name for a file")
            plain = utf8(secret)
            if plain is None:
                return files.Problem("the secret is no text that UTF-8 can hold")
            try:
                content = pyrage.encrypt(plain, self._read_recipients(), armored=True)
                path = self._file(name)
                if unfit := self._unfit(name):
                    return files.Problem(f"it {unfit}")
                with files.locked(path.parent) as folder:
                    before = files.read(folder, path.name, own=True)
                    _refuse_other_content(before)
                    files.replace(folder, path.name, content, before)
            except (OSError, _Unusable, pyrage.EncryptError) as error:
                words = redact(_reason(error), [secret])
                return files.Problem(words, uncertain=isinstance(error, files.Unsettled))
        return None

    def _problems(self, names: Sequence[str]) -> Iterator[str]:
        yield from (f"{name!r} is no name for a file" for name in sorted(set(names)) if not _is_file_name(name))
        yield from repeated(names)
        if _NAME not in self._path and len(set(names)) > 1:
            yield f"{len(names)} keys would be written to this one file; put {{key}} or {_NAME} into its path"
        try:
            self._read_recipients()
        except (OSError, _Unusable) as error:
            yield _reason(error)
        for name in dict.fromkeys(name for name in names if _is_file_name(name)):
            path = self._file(name)
            if unfit := self._unfit(name):
                yield f"{path.name} {unfit}"
                continue
            try:
                yield from files.obstacles(path)
                _refuse_other_content(files.peek(path, own=True))
            except (OSError, _Unusable) as error:
                yield f"{path.name}: {_reason(error)}"

    def _file(self, name: str) -> Path:
        return files.resolve(self._path.replace(_NAME, name))

    def _unfit(self, name: str) -> str | None:
        return why_unfit(self._path.replace(_NAME, name), self._root, outside=self._outside)

    def _read_recipients(self) -> list[Recipient]:
        """Read all recipients, each once; raises OSError or _Unusable."""
        found = [
            (text.strip(), f"entry {number} of recipients") for number, text in enumerate(self._recipients, start=1)
        ]
        if self._recipients_file is not None:
            found += _lines(self._recipients_file, self._reviewed)
        if not found:
            msg = "there is no recipient"
            raise _Unusable(msg)
        places: dict[str, str] = {}
        for text, place in found:
            places.setdefault(text, place)
        return [_parse(text, place) for text, place in places.items()]


class _Unusable(ValueError):
    """Something is not what it should be; the message quotes nothing of it."""


def _lines(recipients_file: str, reviewed: str) -> list[tuple[str, str]]:
    """Read a file as the age program does: a recipient a line, comments begin with #; gives the place of each.

    `reviewed` is the SHA-256 of what it held when the plan was made, empty where it could not be read.
    """
    try:
        content = files.peek(files.resolve(recipients_file))
    except OSError as error:
        msg = f"recipients_file {recipients_file}: {_reason(error)}"
        raise _Unusable(msg) from None
    if content is None:
        msg = f"recipients_file {recipients_file} does not exist"
        raise _Unusable(msg)
    if reviewed and hashlib.sha256(content).hexdigest() != reviewed:
        msg = f"recipients_file {recipients_file} was changed after the plan was made"
        raise _Unusable(msg)
    lines = enumerate(content.decode(errors="replace").splitlines(), start=1)
    stripped = ((line.strip(), f"line {number} of {recipients_file}") for number, line in lines)
    return [(line, place) for line, place in stripped if line and not line.startswith("#")]


def _parse(text: str, place: str) -> Recipient:
    """Read a public key; a private one in its place must not turn up in a message."""
    if any(each in text.upper() for each in _PRIVATE):
        msg = f"{place} is a private key; it must be the public one"
        raise _Unusable(msg)
    try:
        if text.startswith(("ssh-ed25519 ", "ssh-rsa ")):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        msg = f"{place} is no public key of the kinds {_KINDS}"
        raise _Unusable(msg) from None


def _refuse_other_content(content: bytes | None) -> None:
    """Leave a file alone that somebody keeps something else in."""
    if content and not content.startswith(_HEADERS):
        msg = "the file is there already and is not encrypted with age, so it is left as it is"
        raise _Unusable(msg)


def _is_file_name(name: str) -> bool:
    return name not in {"", ".", ".."} and "/" not in name and "\0" not in name


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


DESCRIPTION: Final = Description(
    create=Age,
    type="age",
    extra="age",
    summary="A file a secret, encrypted with age.",
    title="age files",
    description=(
        "A file a secret, encrypted with age for everybody among the recipients: safe to commit and to upload. Its "
        "content is the secret alone, without a line break."
    ),
    settings={
        "path": text_setting(
            (
                "The file, relative to the folder of the file that says so. {name} is the name that the secret is "
                "delivered as."
            ),
            "the path of a file",
            "secrets/{environment}/{key}.age",
            "secrets/{name}.age",
            most=4096,
        ),
        "recipients": {
            "description": (
                "Public keys of those who may read it: age1…, ssh-ed25519 … or ssh-rsa …. Those of recipients_file "
                "come on top."
            ),
            "type": "array",
            "minItems": 1,
            "items": {
                "title": "Recipient",
                "description": "A public key: age1…, ssh-ed25519 … or ssh-rsa ….",
                "type": "string",
                "minLength": 1,
                "errorMessage": "must be a list of public keys, none of them empty",
            },
            "examples": [["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]],
            "errorMessage": "must be a list of public keys, at least one",
        },
        "recipients_file": text_setting(
            (
                "A file of recipients, one a line, as the age program takes it with -R; relative to the folder of the "
                "file that says so."
            ),
            "the path of a file",
            "recipients.txt",
            most=4096,
        ),
        "outside": flag_setting("true: the path may be outside of the repository, or lead out of it through a link."),
    },
    required=("path",),
    rules={
        "anyOf": [
            {"required": ["recipients"], "errorMessage": "must have recipients or recipients_file"},
            {"required": ["recipients_file"], "errorMessage": "must have recipients or recipients_file"},
        ]
    },
    kind=Kind(
        names=r"(?s)(?!\.\.?\Z)[^/]+",
        words="the name of a file, without a folder",
        paths=("path", "recipients_file"),
        reads=("recipients_file",),
        writes="path",
        is_file_per_secret=True,
        named=("path",),
    ),
)
