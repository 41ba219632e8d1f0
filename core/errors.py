"""Every error a person or a program can meet, each with a stable `code` and the HTTP status it has.

The message says which expectation was broken and what to do next. It never carries personal data or secrets:
field names and limits yes, values of customers no.
"""

from __future__ import annotations

from typing import ClassVar


class TouchbookError(Exception):
    """The root of the family. `code` is stable and documented; `status` is what HTTP answers."""

    code: ClassVar[str] = "touchbook_error"
    status: ClassVar[int] = 500


class Rejected(TouchbookError):
    """One item cannot be accepted; it is set aside, and the rest of its batch goes on.

    `code` belongs to the instance here: an item can be rejected for many reasons.
    `field` is the path of the offending field as the sender wrote it ("properties.total"), empty for the whole.
    """

    status = 422

    def __init__(self, code: str, message: str, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.code = code  # type: ignore[misc]
        self.field = field


class Refused(TouchbookError):
    """A whole request is turned away and nothing of it is kept."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]
        self.code = code  # type: ignore[misc]
        self.retry_after = retry_after


class CustomerUnknown(TouchbookError):
    """No touchpoint was ever recorded under the reference asked for."""

    code = "customer_unknown"
    status = 404

    def __init__(self) -> None:
        super().__init__(
            "no touchpoint was ever recorded for this customer; check the reference, "
            "or look an e-mail or phone up with POST /v1/customers:lookup"
        )


class TouchpointUnknown(TouchbookError):
    """The customer has no touchpoint with this key."""

    code = "touchpoint_unknown"
    status = 404

    def __init__(self) -> None:
        super().__init__("this customer has no touchpoint with that key; take a key from his timeline")


class ScorecardUnknown(TouchbookError):
    """No scorecard has this name."""

    code = "scorecard_unknown"
    status = 404

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no scorecard is named {name!r}; there are: {', '.join(known)}")


class ScorecardInvalid(TouchbookError):
    """A scorecard file breaks a rule; the message names the file, the line and what was expected."""

    code = "scorecard_invalid"
    status = 422

    def __init__(self, where: str, line: int, expected: str) -> None:
        super().__init__(f"{where}, line {line}: {expected}")
        self.line = line


class MappingInvalid(TouchbookError):
    """A mapping file breaks a rule; the message names the file, the entry and what was expected."""

    code = "mapping_invalid"
    status = 422

    def __init__(self, where: str, expected: str) -> None:
        super().__init__(f"{where}: {expected}")


class JournalLocked(TouchbookError):
    """Another process is the one writer of this data directory."""

    code = "journal_locked"
    status = 503

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"another process writes the journal in {directory}; stop it first, or publish through it (--to URL)"
        )


class Overloaded(TouchbookError):
    """The queue before the journal is full; the sender should try again with the same ids."""

    code = "overloaded"
    status = 503

    def __init__(self) -> None:
        super().__init__("the journal is busy; send again with the same ids after Retry-After seconds")


class KeyDestroyed(TouchbookError):
    """The data key that sealed a body was destroyed by an erasure."""

    code = "key_destroyed"
    status = 410

    def __init__(self) -> None:
        super().__init__("this body was erased: its key no longer exists")


class BodyUnreadable(TouchbookError):
    """A sealed body does not open with its key, or is of a format this version does not know."""

    code = "body_unreadable"
    status = 500

    def __init__(self, why: str) -> None:
        super().__init__(f"this body cannot be read: {why}")


class JournalUnavailable(TouchbookError):
    """The journal could not store what it was given. It may or may not be kept: the same ids sent again settle it."""

    code = "journal_unavailable"
    status = 503

    def __init__(self, why: str) -> None:
        super().__init__(f"the journal could not store this ({why}); send again with the same ids")


class FormatUnknown(TouchbookError):
    """A file of the data directory was written in a format that this version cannot read."""

    code = "format_unknown"
    status = 503

    def __init__(self, path: str, found: str, known: str) -> None:
        super().__init__(
            f"{path} has format {found}, this version reads {known}; use the version that wrote it"
        )


class SetAsideUnknown(TouchbookError):
    """Nothing is set aside under this key: it never was, was redriven since, or its time has passed."""

    code = "set_aside_unknown"
    status = 404

    def __init__(self, key: str) -> None:
        super().__init__(f"nothing is set aside under {key!r}; take a key from the list of what is set aside")


class AccessKeyUnknown(TouchbookError):
    """No access key has this id."""

    code = "access_key_unknown"
    status = 404

    def __init__(self, id: str) -> None:
        super().__init__(f"no access key has the id {id!r}; take an id from `touchbook keys list`")


class WrongMasterKey(TouchbookError):
    """The master key file does not open this data directory's keyring."""

    code = "wrong_master_key"
    status = 503

    def __init__(self, path: str) -> None:
        super().__init__(
            f"the master key in {path} does not open this keyring; restore the file it was made with"
        )


class NotATouchbook(TouchbookError):
    """The data directory holds nothing that this command can work on."""

    code = "no_data"
    status = 404

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"{directory} holds no journal yet; start it with `touchbook serve --data {directory}`"
        )


class PositionMoved(TouchbookError):
    """Somebody else folded meanwhile; read the position again and go on from there."""

    code = "position_moved"
    status = 503

    def __init__(self, after: int) -> None:
        super().__init__(f"the projections no longer stand at position {after}; read the position again")


class RebuildRunning(TouchbookError):
    """The projections of this data directory are being built anew already."""

    code = "rebuild_running"
    status = 503

    def __init__(self, directory: str) -> None:
        super().__init__(f"the projections in {directory} are being rebuilt already; wait until that is done")
