"""What can go wrong, as types a caller can tell apart.

    VitrineError
    ├── BadParams       a knob is unknown, missing or out of range
    ├── BadContract     a signature, dvc.yaml and params.yaml disagree
    ├── BadWorkspace    the folder is not one a stage can run in
    ├── BadEnvironment  a variable of the environment is missing or wrong
    ├── StageBusy       another process is running this stage here
    ├── DiskFull        no room is left where something is written
    ├── OutOfMemory     the memory of the machine, or of its limit, is used up
    ├── RankLost        another process of a training on several is gone
    ├── BadData         a limit or a gate stopped the run
    │   └── BadPicture  one picture cannot be used; carries its reason code
    ├── StoreFailed     an object store cannot be reached or refuses
    │   └── TooLarge    an object has more bytes than its reader takes
    ├── GitFailed       git, or the remote that it speaks to, refuses or does not answer
    ├── Conflict        what was to be changed is not as it was thought to be
    ├── BadBundle       a bundle's file is missing, altered or of another model
    ├── BadState        what the gateway keeps on disk is damaged
    ├── GatewayFailed   a running gateway cannot be reached, or does not let us ask
    │   └── WrongRelease  another release answers than the one that was to be asked
    └── JudgeFailed     a judge gave no usable answer after its retries
        └── CallLimit   label.max_calls would be passed

Each message says which rule, what was found, and what to do.
"""


class VitrineError(Exception):
    """Base of every error a user can act on; the command line prints it without a traceback."""


class BadParams(VitrineError):
    """A knob in params.yaml is unknown, missing or out of range."""


class BadContract(VitrineError):
    """A stage's signature, dvc.yaml and params.yaml disagree."""


class BadWorkspace(VitrineError):
    """The current folder is not one a stage or a flow can run in."""


class BadEnvironment(VitrineError):
    """A variable of the environment is missing, or is no value that it can have."""


class StageBusy(VitrineError):
    """Another live process holds this stage's lock."""


class DiskFull(VitrineError):
    """No room is left, on a disk or in a quota, for what is being written."""


class OutOfMemory(VitrineError):
    """Memory could not be had."""


class RankLost(VitrineError):
    """Another process of a training on several is gone or silent, so this one cannot go on."""


class BadData(VitrineError):
    """A limit or a gate on the data stopped the run."""


class BadPicture(BadData):
    """One picture cannot be used. `reason` is its code in the quarantine table."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StoreFailed(VitrineError):
    """An object store cannot be reached, or refuses."""


class TooLarge(StoreFailed):
    """An object has more bytes than its reader takes; nothing of it was read."""


class GitFailed(VitrineError):
    """Git, or the remote that it speaks to, refuses or does not answer in time."""


class Conflict(VitrineError):
    """What was to be changed is not as the change supposed: somebody else was first, or the step is not allowed from here."""


class BadBundle(VitrineError):
    """A file of a bundle is missing, altered or belongs to another model."""


class BadState(VitrineError):
    """What the gateway keeps on disk, or in its database, is damaged or was written by another version."""


class GatewayFailed(VitrineError):
    """A running gateway cannot be reached, is too slow, or does not let us ask."""


class WrongRelease(GatewayFailed):
    """Another release answers than the one that was to be asked."""


class JudgeFailed(VitrineError):
    """A judge gave no usable answer after its retries."""


class CallLimit(JudgeFailed):
    """The next call to a paid judge would pass label.max_calls."""
