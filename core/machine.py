"""Describes the machine for the record of a run: the last digits depend on the processor and on the kernels of BLAS."""

import os
import platform
import re
import sys
from pathlib import Path

JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")


def host():
    """Returns the name of this machine, as in `hostname`."""
    return platform.node()


def job():
    """Returns the number of the batch job that this process belongs to, as text, with its place in an array; None outside of one.
    """
    number = next((os.environ[name] for name in JOB_VARIABLES if os.environ.get(name)), None)
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return f"{number} ({array}_{task})" if number and array and task else number


def peak_memory():
    """Returns the most memory that this process has had so far, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def processor():
    """Returns the model of the CPU, in the words of its maker."""
    try:
        model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        model = None
    return model[1].strip() if model else platform.processor() or platform.machine()


def blas():
    """Returns the BLAS that numpy calls and the processor that its kernels are made for, as "openblas 0.3.29 SkylakeX"; None
    if unknown.
    """
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    parts = ("internal_api", "version", "architecture")
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    found = {" ".join(str(pool[part]) for part in parts if pool.get(part)) for pool in pools}
    return ", ".join(sorted(found)) or None
