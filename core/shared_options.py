"""Reads and checks the options that both programs have: several seeds, the machine and the run folder."""

import importlib.util
import re

from core.options import UsageError
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
    """Raises UsageError if --seeds is no list of seeds, or is given together with a single seed.

    options  record with the fields seeds and `single`
    given    names of the options that were given
    single   name of the option for a single seed
    """
    if "seeds" in given and parse_seeds(options.seeds) and single in given:
        raise UsageError(f"--seeds={options.seeds}: contradicts --{single}={getattr(options, single)}; give one of them")


def check_machine(options):
    """Raises UsageError for options about the machine and the run folder that contradict each other.

    options  has overwrite, load, load_or_start, backend, device and threads
    """
    if options.overwrite and (options.load or options.load_or_start):
        flag = "--load" if options.load else "--load_or_start"
        raise UsageError(f"--overwrite: contradicts {flag}, which continues the run that --overwrite deletes")
    if options.backend == "numpy" and options.device:
        raise UsageError(f"--device={options.device}: does not apply to --backend=numpy, which computes on the CPU")
    if options.backend == "cupy" and options.threads > 1:
        raise UsageError(f"--threads={options.threads}: does not apply to --backend=cupy, whose GPU divides its work itself")
    if options.threads > 1 and not importlib.util.find_spec("threadpoolctl"):
        raise UsageError(f"--threads={options.threads}: needs threadpoolctl (pip install threadpoolctl)")


def folder_of(seed):
    """Returns the name of the run folder of one of several seeds."""
    return f"seed_{seed}"


def check_memory(count, each, backend, flag):
    """Returns a sentence on the memory that several networks need; "" for a single network.

    count    number of networks
    each     bytes that one of them takes while it is trained with others
    backend  core.backend.Backend
    Raises   UsageError, whose sentence begins with the flag, if they do not fit
    """
    if count == 1:
        return ""
    words, free = f"{count} networks at once take about {amount(count * each)}", backend.free_memory()
    if free is not None and count * each > free:
        fewer = f"train {free // each} at a time" if free >= each else "not even one fits"
        raise UsageError(f"{flag}: {words} of memory, and {amount(free)} are free; {fewer}")
    return f"; {words}"


def say_of(seed):
    """Returns a function that prints a line about one of several seeds."""
    return lambda line: say(f"seed {seed}: {line}")


def amount(size):
    """Returns a number of bytes in words: "3 MB", "2.5 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
