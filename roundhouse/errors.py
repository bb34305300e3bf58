"""What can go wrong on the command line.

RoundhouseError         says what is wrong and what to do about it
├── ConfigFault         the file, the profile or a flag can't be used
├── ChildDied           one of the processes ended by itself
├── NotReady            the processes didn't get ready in time
└── NoAnswer            a gateway that doesn't answer, or answers with an error
    └── NothingListens  no gateway at that address
"""


class RoundhouseError(Exception):
    """Ends the command; `remedy` is what the user can do about it."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class ConfigFault(RoundhouseError):
    """The file, the profile or a flag can't be used."""

    exit_code = 2


class ChildDied(RoundhouseError):
    """One of the processes ended by itself."""


class NotReady(RoundhouseError):
    """The processes didn't get ready in time."""


class NoAnswer(RoundhouseError):
    """A gateway that doesn't answer, or answers with an error."""


class NothingListens(NoAnswer):
    """No gateway at that address."""

    exit_code = 2
