"""The three ways a request can be wrong; the web maps them to problem+json. Knows no HTTP."""

from dataclasses import dataclass


class NotFound(Exception):
    """There is no such thing; the text says which."""


class Conflict(Exception):
    """The thing is in a state that does not allow this; the text says which state and why."""


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field, by the name that the caller used."""

    field: str
    message: str


class Invalid(Exception):
    """Well-formed, but one or more fields cannot be accepted."""

    def __init__(self, errors: list[FieldError]) -> None:
        """`errors` names every field that is wrong, not only the first."""
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors

    @classmethod
    def of(cls, field: str, message: str) -> "Invalid":
        """One field is wrong."""
        return cls([FieldError(field, message)])
