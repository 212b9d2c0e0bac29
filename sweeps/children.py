"""Starts the processes of a sweep so that they end when it ends."""

import ctypes
import os
import signal
import subprocess
import sys

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# An option of Linux's prctl.
PR_SET_PDEATHSIG = 1


def start(words, threads, log, lock):
    """Returns a new process (subprocess.Popen) that runs a command and prints into a file.

    words    of the command
    threads  number of threads of the libraries that it uses, as text
    log      open file
    lock     descriptor of a lock that it inherits; None if there is none
    Raises   OSError
    """
    # In a session of its own a Ctrl-C at the terminal does not reach it twice, before it has saved.
    return subprocess.Popen(
        words,
        env=os.environ | dict.fromkeys(THREAD_VARIABLES, threads),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=() if lock is None else (lock,),
        preexec_fn=_follower(),
    )


def _follower():
    """Returns a function for a child process to call first: then Linux asks it to end when its parent ends."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None
    return prctl and (lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
