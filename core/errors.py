"""Every error a person or a program can meet, each with a stable `code` and the HTTP status it has.

The message says which expectation was broken and what to do next. It never carries personal data or secrets:
field names and limits yes, values of customers no.
"""

from __future__ import annotations

from typing import ClassVar


class TouchbookError(Exception):
    """An error without a code of its own, and the root of all others. `code` is stable and documented; `status` is what
    HTTP answers."""

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

    def __init__(self, where: str, line: int, expected: str, column: int = 1) -> None:
        super().__init__(f"{where}, line {line}: {expected}")
        self.where, self.line, self.column, self.expected = where, line, column, expected


class PolicyInvalid(ScorecardInvalid):
    """A policy file breaks a rule; the message names the file, the line and what was expected."""

    code = "policy_invalid"


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


class StoreUnavailable(TouchbookError):
    """A file of the data directory could not be written or read: its disk is full, failing, or not ours."""

    code = "store_unavailable"
    status = 503

    def __init__(self, why: str) -> None:
        super().__init__(f"a file of the data directory cannot be used ({why}): {mending(why)}")


class BrokerUnavailable(StoreUnavailable):
    """Kafka could not be reached, or did not take or give what it was asked for."""

    def __init__(self, why: str) -> None:
        self.why = why
        TouchbookError.__init__(
            self,
            f"Kafka cannot be used ({why}): look at its brokers, and at the settings that begin with kafka_ if it was "
            "never reached; it goes on by itself once these are in order",
        )


class ClickHouseUnavailable(StoreUnavailable):
    """ClickHouse could not be reached, or did not take or give what it was asked for."""

    def __init__(self, why: str) -> None:
        TouchbookError.__init__(
            self,
            f"ClickHouse cannot be used ({why}): look at its server and log, and at the setting `projections` if it "
            "was never reached; it goes on by itself once these are in order",
        )


class ProjectionsOlder(StoreUnavailable):
    """What serves was made by an earlier version and does not tell this yet; it is being made anew beside it."""

    code = "projections_older"

    def __init__(self) -> None:
        TouchbookError.__init__(
            self,
            "an earlier version made what serves, which does not tell this yet: it is being made anew, so ask again "
            "after Retry-After seconds; if it goes on, GET /readyz says why",
        )


class SettingUnfit(TouchbookError):
    """A setting, or several together, cannot be followed; the message names it and what was expected."""

    code = "setting_unfit"
    status = 503

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f"{name}: {expected}")


def mending(why: str) -> str:
    """What to do about a store that failed, told from SQLite's or the system's words about it, which are left out."""
    if "full" in why or "No space" in why:
        return "its disk is full; free space there, and it goes on by itself"
    return "look at its disk (room, quota, errors), owner and rights; it goes on by itself once these are in order"


class FormatUnknown(TouchbookError):
    """A file of the data directory was written in a format that this version cannot read."""

    code = "format_unknown"
    status = 503

    def __init__(
        self, path: str, found: str, known: str, advice: str = "use the version that wrote it"
    ) -> None:
        super().__init__(f"{path} has format {found}, this version reads {known}; {advice}")


class NoDecider(Refused):
    """On many machines one process decides whom to contact, and none can be asked at this moment."""

    def __init__(self, why: str) -> None:
        super().__init__(
            503,
            "no_decider",
            f"{why}; send again with the same ids after Retry-After seconds: another process takes over once the one "
            "that decided has not been heard of for `session_seconds`",
            retry_after=2,
        )


class SetAsideUnknown(TouchbookError):
    """Nothing is set aside under this key: it never was, was redriven since, or its time has passed."""

    code = "set_aside_unknown"
    status = 404

    def __init__(self, key: str) -> None:
        super().__init__(f"nothing is set aside under {key!r}; take a key from the list of what is set aside")


class ErasureUnknown(TouchbookError):
    """No erasure has this id."""

    code = "erasure_unknown"
    status = 404

    def __init__(self) -> None:
        super().__init__(
            "no erasure has this id; GET /v1/erasures and `touchbook erase --receipts` list them all"
        )


class AccessKeyUnknown(TouchbookError):
    """No access key has this id."""

    code = "access_key_unknown"
    status = 404

    def __init__(self, id: str) -> None:
        super().__init__(f"no access key has the id {id!r}; take an id from `touchbook keys list`")


class WrongMasterKey(TouchbookError):
    """The master key file does not open this data directory's keyring, is no such file, or is not there."""

    code = "wrong_master_key"
    status = 503

    def __init__(self, path: str, why: str = "the master key in it does not open this keyring") -> None:
        super().__init__(
            f"{path}: {why}; put the master key that this keyring was made with there, or name its file "
            "(--master-key, TOUCHBOOK_MASTER_KEY)"
        )


class NotATouchbook(TouchbookError):
    """The data directory holds nothing that this command can work on."""

    code = "no_data"
    status = 404

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"{directory} holds no journal yet; start it with `touchbook serve --data {directory}`"
        )


class TopicsMissing(NotATouchbook):
    """The topics of this prefix are not there, or not all of them."""

    def __init__(self, prefix: str) -> None:
        TouchbookError.__init__(
            self, f"Kafka holds no journal under the prefix {prefix}; make it with `touchbook topics ensure`"
        )


class PartsFixed(TouchbookError):
    """A journal has as many parts as it was made with."""

    code = "parts_fixed"
    status = 409

    def __init__(self, topic: str, parts: int, wanted: int) -> None:
        super().__init__(
            f"{topic} has {parts} partitions and was to have {wanted}: customers would move to other partitions, away "
            f"from what is recorded of them; keep {parts}, or copy the journal to another topic_prefix with {wanted}"
        )


class BuildOfAnother(TouchbookError):
    """The projections that serve were folded by another version, or with other mappings."""

    code = "build_of_another"
    status = 503

    def __init__(self, build: str, version: str) -> None:
        super().__init__(
            f"the projections that serve, {build}, were built by another version or with other mappings than this "
            f"process has ({version}): run `touchbook rebuild` with this one, then start it again"
        )


class RebuildFailed(TouchbookError):
    """A worker of a rebuild ended before all was folded."""

    code = "rebuild_failed"
    status = 503

    def __init__(self, exit_code: int) -> None:
        super().__init__(
            f"a worker of the rebuild ended with exit code {exit_code} and logged why; what served goes on serving"
        )


class NotFolded(TouchbookError):
    """Nobody folds what is in the journal."""

    code = "not_folded"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "nobody folds what is in the journal: start a worker with `touchbook work`, and try again"
        )


class CopyElsewhere(TouchbookError):
    """The topics under this prefix were made for another journal than the one to be copied."""

    code = "copy_elsewhere"
    status = 409

    def __init__(self, prefix: str) -> None:
        super().__init__(
            f"the topics under the prefix {prefix} belong to another journal, whose customers have other ids; copy "
            "into another topic_prefix, where `touchbook copy` makes the topics itself"
        )


class NotPossible(TouchbookError):
    """The backend that was chosen has no way to do this."""

    code = "not_possible"
    status = 501

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what}; {instead}")


class BackupDamaged(TouchbookError):
    """What was to be restored is no whole backup, or not any more."""

    code = "backup_damaged"
    status = 422

    def __init__(self, backup: str, why: str, advice: str = "take another backup") -> None:
        super().__init__(f"{backup} cannot be restored: {why}; {advice}")


class BackupUnfit(TouchbookError):
    """Something else lies where a backup or a restore is to go; nothing was touched."""

    code = "backup_unfit"
    status = 409

    def __init__(self, directory: str, expected: str) -> None:
        super().__init__(f"{directory}: expected {expected}; name another directory")


class ListUnfit(TouchbookError):
    """The list of destroyed keys is another keyring's, or an old copy: people who were erased would be back."""

    code = "list_unfit"
    status = 409

    def __init__(self, path: str, missing: int) -> None:
        super().__init__(
            f"{path} does not name {missing} keys that were destroyed before the backup, so it is an old copy or "
            "another's; name the latest list, or say --without-destroyed and everybody it does not name is back"
        )


class RestoreUnfinished(TouchbookError):
    """A restore into this data directory was cut short, so its files do not belong together yet."""

    code = "restore_unfinished"
    status = 503

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"a restore into {directory} was begun and not completed; repeat `touchbook restore` as it was, or empty "
            "the directory and restore another backup"
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
