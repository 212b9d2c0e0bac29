"""Describes the machine and this program for the record of a run, and refuses what the machine cannot do.

The last digits of a run depend on the processor and on the kernels of BLAS.
"""

import contextlib
import datetime
import importlib.util
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from core.errors import UsageError

JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")
ROOT = Path(__file__).resolve().parent.parent


def provenance(backend, threads, options):
    """Returns what config.json records of a run in addition to its settings."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    if backend.name != "numpy":
        versions[backend.name] = backend.xp.__version__
    return {
        "command": sys.argv,
        "options": options,
        "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": versions,
        "device": backend.describe() + (f" ({backend.note})" if backend.note else ""),
        "threads": threads,
        "machine": platform.platform(),
        "host": host(),
        "cpu": processor(),
        "blas": blas(),
        "job": job(),
        "git_commit": git_commit(),
    }


def version():
    """Returns the version of the suite, as pyproject.toml has it."""
    return re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]


def git_commit():
    """Returns the commit of this program, with "+" if its files differ from it; None outside its repository.

    Nothing is written, and environment variables that point git at another repository are ignored.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ask = {"cwd": ROOT, "env": environment, "stdin": subprocess.DEVNULL}
    ask |= {"capture_output": True, "text": True, "timeout": 5}
    git = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false"]
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        own = subprocess.run([*git, "ls-files", "--error-unmatch", "core/recording.py"], **ask)
        commit = subprocess.run([*git, "rev-parse", "HEAD"], **ask)
        if own.returncode == commit.returncode == 0:
            changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no", "--", "."], **ask)
            return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")
    return None


def version_and_commit():
    """Returns the version and the commit in a few words, which --version prints after the script's name."""
    commit = git_commit()
    return f"{version()}, commit {commit}" if commit else version()


def host():
    """Returns the name of this machine, as the command `hostname` prints it."""
    return platform.node()


def job():
    """Returns the number of the batch job that this process belongs to, as text; None outside of a job.

    The text includes the process's place in an array of jobs.
    """
    number = next((os.environ[name] for name in JOB_VARIABLES if os.environ.get(name)), None)
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return f"{number} ({array}_{task})" if number and array and task else number


def peak_memory():
    """Returns the largest memory that this process has used so far, in bytes; None if it is unknown."""
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
    """Returns the BLAS that numpy calls, as "openblas 0.3.29 SkylakeX"; None if it is unknown.

    The last word is the processor that its kernels are made for.
    """
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    parts = ("internal_api", "version", "architecture")
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    found = {" ".join(str(pool[part]) for part in parts if pool.get(part)) for pool in pools}
    return ", ".join(sorted(found)) or None


def check_machine(options):
    """Raises UsageError for options about the machine and the run folder that contradict each other.

    options  has overwrite, load, load_or_start, dry_run, backend, device and threads
    """
    if options.overwrite and (options.load or options.load_or_start):
        flag = "--load" if options.load else "--load_or_start"
        raise UsageError(f"--overwrite: contradicts {flag}, which continues the run that --overwrite deletes")
    if options.dry_run and options.load_or_start:
        # By this option sweeps start their runs, and would take one that trained nothing for a finished one.
        raise UsageError("--dry_run: contradicts --load_or_start, which trains; give one of them")
    if options.backend == "numpy" and options.device:
        raise UsageError(f"--device={options.device}: does not apply to --backend=numpy, which computes on the CPU")
    if options.backend == "cupy" and options.threads > 1:
        raise UsageError(
            f"--threads={options.threads}: does not apply to --backend=cupy, whose GPU divides its work itself"
        )
    if options.threads > 1 and not importlib.util.find_spec("threadpoolctl"):
        raise UsageError(f"--threads={options.threads}: needs threadpoolctl (pip install threadpoolctl)")


def check_memory(count, each, backend, flag):
    """Returns a sentence on the memory that several networks need; "" for a single network.

    count    number of networks
    each     bytes that one of them takes while it is trained with others
    backend  core.backend.Backend
    Raises   UsageError, whose sentence begins with the flag, if they do not fit
    """
    if count == 1:
        return _check_one(each, backend, flag)
    words, free = f"{count} networks at once take about {amount(count * each)}", backend.free_memory()
    if free is not None and count * each > free:
        fewer = f"train {free // each} at a time" if free >= each else "not even one fits"
        raise UsageError(f"{flag}: {words} of memory, and {amount(free)} are free; {fewer}")
    return f"; {words}"


def _check_one(each, backend, flag):
    # Of the 12 or 14 numbers per weight that `each` counts, weight and gradient are needed in any case.
    least, free = each // 7, backend.free_memory()
    if free is not None and least > free:
        raise UsageError(f"{flag}: the network takes at least {amount(least)} of memory, and {amount(free)} are free")
    return ""


def amount(size):
    """Returns a number of bytes in words: "3 MB", "2.5 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"


def default_count():
    """Returns how many threads a run on the CPU should use: the cores that it may use, but at most 4.

    The limits of BLAS count, too. Without threadpoolctl BLAS cannot be told to stay in its thread, so that it
    splits products itself; then the number is 1.
    """
    try:
        from threadpoolctl import threadpool_info

        known = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    except ImportError:
        return 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *known, 4]))
