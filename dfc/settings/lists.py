"""Numbers and names that come as text: one, or several as [a, b, c], (a, b, c) or a, b, c, with spaces and quotes as may be."""

from core.options import UsageError, within
from dfc.activations import ACTIVATIONS


def numbers(name, text, bounds):
    """The numbers in `text`, the value of option `name`, as a tuple; each must lie in `bounds`."""
    found = []
    for entry in _entries(text):
        try:
            found.append(float(entry))
        except ValueError:
            raise UsageError(f"--{name}={text}: {entry!r} is not a number") from None
        if not within(found[-1], bounds):
            raise UsageError(f"--{name}={text}: {entry} is out of range: must be in {bounds}")
    return tuple(found)


def number(name, text, bounds):
    """The one number in `text`; a list is refused."""
    found = numbers(name, text, bounds)
    if len(found) > 1:
        raise UsageError(f"--{name}={text}: takes one number, not {len(found)}")
    return found[0]


def whole_numbers(name, text):
    """The whole numbers in `text` as a tuple; each must be at least 1."""
    found = []
    for entry in _entries(text):
        try:
            found.append(int(entry))
        except ValueError:
            raise UsageError(f"--{name}={text}: {entry!r} is not a whole number") from None
        if found[-1] < 1:
            raise UsageError(f"--{name}={text}: {entry} is out of range: must be in [1, inf)")
    return tuple(found)


def activation_names(name, text):
    """The names of activations in `text` as a tuple."""
    found = tuple(_entries(text))
    for entry in found:
        if entry not in ACTIVATIONS:
            raise UsageError(f"--{name}={text}: {entry!r} is not one of {', '.join(ACTIVATIONS)}")
    return found


def _entries(text):
    inside = str(text).strip(" \"'")
    if inside[:1] + inside[-1:] in ("[]", "()"):
        inside = inside[1:-1].rstrip(" ").removesuffix(",")  # (256,) is how Python writes one
    return [entry.strip(" \"'") for entry in inside.split(",")]
