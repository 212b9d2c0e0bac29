"""Checks the options that both programs have."""

import importlib.util

from core.options import UsageError


def check_machine(options):
    """Raises UsageError for options on the machine and the run folder that contradict each other.

    options  has overwrite, load, load_or_start, backend, device and threads
    """
    if options.overwrite and (options.load or options.load_or_start):
        flag = "--load" if options.load else "--load_or_start"
        raise UsageError(f"--overwrite: contradicts {flag}, which continues the run that --overwrite deletes")
    if options.backend == "numpy" and options.device:
        raise UsageError(f"--device={options.device}: does not apply to --backend=numpy, which computes on the CPU")
    if options.backend == "cupy" and options.threads > 1:
        raise UsageError(f"--threads={options.threads}: does not apply to --backend=cupy, whose GPU shares out its work itself")
    if options.threads > 1 and not importlib.util.find_spec("threadpoolctl"):
        raise UsageError(f"--threads={options.threads}: needs threadpoolctl (pip install threadpoolctl)")
