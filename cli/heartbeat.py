"""Whether a worker is there, as commands ask it."""

from web.context import House

#: A worker sweeps every 2 s; one that was silent for longer than this is not there.
SILENT_SECONDS = 10.0


def beats(parts: House) -> bool:
    """Whether any worker swept lately."""
    age = parts.heartbeat_age()
    return age is not None and age < SILENT_SECONDS
