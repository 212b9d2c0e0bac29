"""Reads --seeds, by which one command trains several seeds, and names what belongs to each of them."""

import re

from core.errors import UsageError
from core.program import say

# Most seeds of one command; a longer list is probably a typing error.
MOST = 1000


def parse_seeds(text):
    """Returns the seeds of a list such as "1-5", "1 2 5" or "0,3-4", in the order given.

    They are different whole numbers >= 0.
    Raises  UsageError, whose sentence begins with --seeds
    """
    seeds, where = [], f"--seeds={text}"
    for word in (word for part in text.split(",") for word in part.split() or [""]):
        match = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", word, re.ASCII)
        if not match:
            raise UsageError(f"{where}: {word!r} is neither a seed nor a range of seeds; write 1-5, or '1 2 5'")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"{where}: the range {word} runs backwards; write {last}-{first}")
        if len(seeds) + last - first + 1 > MOST:
            raise UsageError(f"{where}: must be at most {MOST} seeds")
        seeds += range(first, last + 1)
    twice = next((seed for place, seed in enumerate(seeds) if seed in seeds[:place]), None)
    if twice is not None:
        raise UsageError(f"{where}: seed {twice} is given more than once")
    return seeds


def check_alone(options, given, single):
    """Raises UsageError if --seeds, which was given, is no list of seeds or stands next to a single seed.

    options  record with the fields seeds and `single`
    given    names of the options that were given
    single   name of the option for a single seed
    """
    if parse_seeds(options.seeds) and single in given:
        raise UsageError(
            f"--seeds={options.seeds}: contradicts --{single}={getattr(options, single)}; give one of them"
        )


def folder_of(seed):
    """Returns the name of the run folder of one of several seeds."""
    return f"seed_{seed}"


def say_of(seed):
    """Returns a function that prints a line about one of several seeds."""
    return lambda line: say(f"seed {seed}: {line}")
