"""Signals as launchers, clusters and shells send them: twice, late, early, of many names; nothing is
lost, and "saved" is true."""

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from core import signals
from core.signals import STOP_SIGNALS, StopRequest
from sweeps import processes
from sweeps.processes import Interrupted, Job, run_all
from tests.faults import tiny_main
from tests.faults.tiny_loop import Run
from tests.faults.tiny_runs import ROOT, contents, finish, in_process, only, results, start, write_data

NAMES = [number.name for number in STOP_SIGNALS]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return f"--data_dir={folder}"


# There are 15 batches per epoch.
OPTIONS = ["--nb_epochs=3", "--batch_size=8", "--threads=1"]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    place = tmp_path_factory.mktemp("whole")
    assert finish(data, f"--results_dir={place}", *OPTIONS)[0] == 0
    return only(place)


# ---- a run


@pytest.mark.parametrize("name", NAMES)
def test_every_signal_that_asks_to_stop_saves(name, data, whole, tmp_path, monkeypatch):
    place = tmp_path / "results"
    status, out, err = finish(data, f"--results_dir={place}", *OPTIONS, fault=f"step 22 {name}")
    assert (status, err) == (128 + getattr(signal, name), "")
    assert "and saved in" in out.splitlines()[-1]
    with np.load(only(place) / "checkpoint.npz") as archive:
        assert (archive["epoch"], archive["batch"]) == (1, 7)
    assert in_process(tmp_path, monkeypatch)(*OPTIONS, "--load") == 0
    assert results(only(place)) == results(whole)


REPEATS = (
    "SIGTERM SIGTERM", "SIGTERM 0.003 SIGTERM", "SIGINT SIGINT", "SIGINT SIGTERM", "SIGUSR1 0.3 SIGTERM",
    "SIGTERM 0.2 SIGTERM 0.1 SIGTERM 0.05 SIGTERM", "SIGXCPU 1.2 SIGXCPU", "SIGTERM 1.2 SIGUSR1",
)  # fmt: skip


@pytest.mark.parametrize("repeat", REPEATS)
def test_a_repeat_is_the_same_wish(repeat, data, tmp_path):
    """srun and GNU parallel send it twice; the kernel sends SIGXCPU every second."""
    status, out, err = finish(data, f"--results_dir={tmp_path}", *OPTIONS, fault=f"step 22 {repeat}")
    assert (status, err) == (128 + getattr(signal, repeat.split()[0]), "")
    assert "and saved in" in out.splitlines()[-1]
    with np.load(only(tmp_path) / "checkpoint.npz") as archive:
        assert (archive["epoch"], archive["batch"]) == (1, 7)


@pytest.mark.parametrize("repeat", ["SIGTERM 1.2 SIGINT", "SIGUSR1 1.2 SIGTERM"])
def test_a_later_one_ends_the_process_at_once(repeat, data, tmp_path):
    status = finish(data, f"--results_dir={tmp_path}", *OPTIONS, fault=f"step 22 {repeat}")[0]
    assert status == -getattr(signal, repeat.split()[-1])


def test_a_repeat_after_the_run_has_saved_is_the_same_wish(data, tmp_path):
    """The second one of two may come when the program is already on its way out."""
    words = [data, f"--results_dir={tmp_path}", *OPTIONS]
    with start(*words, fault="step 22 SIGTERM") as process:
        for line in process.stdout:
            if "and saved in" in line:
                process.send_signal(signal.SIGTERM)
        assert (process.wait(timeout=60), process.stderr.read()) == (143, "")


def test_signals_ignored_at_the_start_stay_ignored(data, whole, tmp_path):
    """nohup; but the shell of a background job ignores SIGINT for it, which somebody who sends SIGINT does not mean."""
    words = [sys.executable, str(ROOT / "tests/faults/tiny_runs.py"), data, f"--results_dir={tmp_path}", *OPTIONS]
    environment = {**os.environ, "TINY_FAULT": "step 4 SIGHUP"}
    assert subprocess.run(["nohup", *words], env=environment, capture_output=True, timeout=60).returncode == 0
    assert results(only(tmp_path)) == results(whole)


PROGRAMS = {
    "run.py": ["--nb_epochs=1"],
    "main.py": [],
    "run_toy_exp_fig2.py": ["--quick"],
    "summarise_seeds.py": ["none"],
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_during_the_imports_ends_it_cleanly(name, program, tmp_path):
    """At this line of an import that takes long."""
    (tmp_path / "numpy.py").write_text(
        f"import os, signal, time\nos.kill(os.getpid(), signal.{name})\ntime.sleep(20)\n"
    )
    words = [sys.executable, str(ROOT / program), *PROGRAMS[program]]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=15)
    assert done.returncode == 128 + getattr(signal, name)
    assert done.stdout == "" and done.stderr.count("\n") == 1 and done.stderr.startswith(f"{program}: interrupted")


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_while_the_data_are_read_ends_it_cleanly(name, tmp_path, monkeypatch, capsys):
    import datasets

    call = in_process(tmp_path, monkeypatch)
    monkeypatch.setattr(datasets, "load", lambda *_: os.kill(os.getpid(), getattr(signal, name)))
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    assert call("--quiet") == 128 + getattr(signal, name)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("run.py: interrupted") and not (tmp_path / "results").exists()
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_a_signal_in_the_first_measurement_saves(tmp_path, monkeypatch, capsys):
    from gait import evaluation

    evaluate, calls = evaluation.evaluate, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments)

    call = in_process(tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "evaluate", interrupted)
        assert call("--nb_epochs=2", "--quiet") == 143
    assert "and saved" in capsys.readouterr().out
    assert call("--nb_epochs=2", "--quiet", "--load") == 0
    assert call("--nb_epochs=2", "--quiet", f"--results_dir={tmp_path / 'whole'}") == 0
    assert results(only(tmp_path / "results")) == results(only(tmp_path / "whole"))


def test_a_signal_while_the_last_files_are_written_is_too_late(tmp_path, monkeypatch):
    """The run is over: it says so, and there is no half of it."""
    from core.recording import RunFolder

    finish = RunFolder.finish

    def interrupted(self, outcome):
        os.kill(os.getpid(), signal.SIGINT)
        finish(self, outcome)

    call = in_process(tmp_path, monkeypatch)
    monkeypatch.setattr(RunFolder, "finish", interrupted)
    assert call("--nb_epochs=1", "--quiet") == 0
    assert (only(tmp_path / "results") / "DONE").exists()


@pytest.mark.parametrize("stand_in", ["getsignal", "signal"])
def test_handlers_that_python_did_not_install_are_no_error(stand_in, monkeypatch):
    """In a host program written in C both functions return None for them."""
    own = getattr(signal, stand_in)
    monkeypatch.setattr(signal, stand_in, lambda *arguments: own(*arguments) and None)
    assert Run(epochs=2).go()["outcome"] == "finished"


def test_a_host_program_that_turns_ctrl_c_into_an_exception(tmp_path, monkeypatch, capsys):
    """Nothing could be saved in the middle of a batch, and nothing is said to have been."""
    import gait.learner

    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1", "--quiet") == 0
    capsys.readouterr()

    def step(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(gait.learner.Learner, "step", step)
    assert call("--nb_epochs=2", "--quiet", "--load") == 130
    out, err = capsys.readouterr()
    assert "saved" not in out + err and "--load" in err and err.count("\n") == 1


@pytest.mark.parametrize("names", ["SIGXCPU SIGTERM", "SIGUSR2 SIGINT SIGUSR1", "SIGTERM SIGXCPU"])
@pytest.mark.parametrize("stale", [(), ("SIGTERM",)])
def test_the_first_of_several_counts_though_a_library_computes_meanwhile(names, stale):
    """Python calls the handlers only when the library is done, that of the lowest number first."""
    numbers, (first, *more) = (
        np.random.default_rng(1).random(3_000_000),
        [getattr(signal, name) for name in names.split()],
    )

    def send():
        time.sleep(0.02)
        for number in (first, *more):
            os.kill(os.getpid(), number)
            # The kernel may keep the order of signals that it has not delivered yet to itself.
            while not stop.signal and not select.select(signals._pipe[:1], [], [], 0.001)[0]:
                pass

    # An earlier request has heard them, and heard them again.
    for name in stale:
        with StopRequest() as earlier:
            for _ in range(2):
                os.kill(os.getpid(), getattr(signal, name))
        assert earlier.signal == getattr(signal, name)
    sender, told = threading.Thread(target=send), []
    with StopRequest(told.append) as stop:
        sender.start()
        np.sort(numbers)
        sender.join()
    assert (stop.signal, told) == (first, [first])


def test_a_host_program_keeps_its_pipe_of_signals(tmp_path):
    """asyncio is told of signals by one."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.signal == signal.SIGUSR1 and os.read(reading, 9) == bytes([signal.SIGUSR1])
    finally:
        assert signal.set_wakeup_fd(before) == writing
        os.close(reading)
        os.close(writing)


def test_requests_inside_one_another():
    """The outer one knows what the inner one has heard."""
    with StopRequest() as outer:
        with StopRequest() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            assert inner.signal == signal.SIGTERM and outer.signal is None
        assert outer.signal == signal.SIGTERM
        with StopRequest() as second:
            assert second.signal == signal.SIGTERM


# ---- sweeps

CHILD = """
import os, signal, sys, time
from pathlib import Path
options = dict(word[2:].partition("=")[::2] for word in sys.argv[1:])
def leave(number, frame):
    (Path(options["out_dir"]) / "told").write_text(signal.Signals(number).name)
    if options["do"] == "save":
        sys.exit(128 + number)
    if options["do"] == "fail":
        sys.exit("main.py: the disk is full")
    os.kill(os.getpid(), signal.SIGKILL)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, leave)
print("ready", flush=True)
time.sleep(20)
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A function (what a child does when it is told to stop, the signal that the sweep gets) -> Interrupted."""
    (tmp_path / "main.py").write_text(CHILD)
    monkeypatch.setattr(processes, "MAIN", tmp_path / "main.py")

    def run(do, name):
        job = Job("a", tmp_path / "sweep" / "a", [f"--do={do}"], {}, 1)
        monkeypatch.setattr(processes, "say", lambda line: os.kill(os.getpid(), getattr(signal, name)))
        with pytest.raises(Interrupted) as stop:
            run_all([job], tmp_path / "sweep", lambda *_: None)
        assert stop.value.signal == getattr(signal, name)
        return stop.value, (job.folder / "told").read_text()

    return run


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"])
def test_a_sweep_hands_every_signal_on(name, sweep):
    """As one that every program knows."""
    stop, told = sweep("save", name)
    assert told == ("SIGINT" if name == "SIGINT" else "SIGTERM") and stop.lost == []


@pytest.mark.parametrize("do, reason", [("die", "ended by SIGKILL"), ("fail", "the disk is full")])
def test_a_run_that_could_not_save_is_named(do, reason, sweep):
    stop, _ = sweep(do, "SIGTERM")
    assert stop.lost == [f"a ({reason})"]


@pytest.mark.parametrize(
    "lost, sentence", [([], "stopped and saved; this"), (["a (why)"], "stopped, but without saving a (why)")]
)
def test_saved_is_said_only_where_it_is_true(lost, sentence, capsys):
    from sweeps.script import Sweep, run_sweep

    class Stopped(Sweep):
        def lines_asked_for(self):
            return None

        def run(self):
            raise Interrupted(signal.SIGTERM, lost)

    assert run_sweep("sweep.py", [], lambda: Stopped("sweep.py", "folder", [], None), None) == 143
    err = capsys.readouterr().err
    assert sentence in err and ("and saved" in err) == (not lost)


# ---- sweep_seeds.sh

needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="sweep_seeds.sh needs bash")


@pytest.fixture
def seeds(tmp_path, data):
    """A function (words before the command) -> the process of sweep_seeds.sh, when its first run has begun to train."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/usr/bin/env bash\nshift\nexec {sys.executable} {ROOT / "tests/faults/tiny_runs.py"} {data} "$@"\n'
    )
    python.chmod(0o755)

    def begin(script=ROOT / "sweep_seeds.sh", **environment):
        words = [
            str(script),
            "1 2",
            f"--results_dir={tmp_path / 'results'}",
            "--nb_epochs=100000",
            "--threads=1",
            "--quiet",
        ]
        process = subprocess.Popen(
            words,
            env={**os.environ, "PYTHON": str(python), **environment},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        while "epoch 2/" not in process.stdout.readline():
            assert process.poll() is None, process.stderr.read()
        return process

    return begin


@needs_bash
@pytest.mark.parametrize("name, status", [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129), ("SIGUSR1", 138)])
@pytest.mark.parametrize("group", [False, True])
def test_a_signal_to_sweep_seeds_reaches_its_run_at_once(group, name, status, seeds, tmp_path):
    with seeds() as process:
        (os.killpg if group else os.kill)(process.pid, getattr(signal, name))
        begin = time.monotonic()
        out, err = process.communicate(timeout=30)
    assert process.returncode == status and time.monotonic() - begin < 20
    assert "and saved in" in out and "stopped at seed 1" in err
    assert not list(tmp_path.glob("results/*_2Seed_*"))


@needs_bash
def test_sweep_seeds_through_a_link_and_with_cdpath(seeds, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sweep").symlink_to(ROOT / "sweep_seeds.sh")
    with seeds(tmp_path / "bin" / "sweep", CDPATH=f"{ROOT.parent}:{tmp_path}") as process:
        process.terminate()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 143 and "and saved in" in out


@needs_bash
def test_a_signal_to_sweep_seeds_in_its_second_run(data, tmp_path):
    """The first one is finished, the second one saves and goes on by the same command."""
    python, words = (
        tmp_path / "python",
        [str(ROOT / "sweep_seeds.sh"), "1 2", f"--results_dir={tmp_path / 'results'}", *OPTIONS],
    )
    python.write_text(
        '#!/usr/bin/env bash\nshift\ncase "$*" in *--seed=2*) export TINY_FAULT="$FAULT" ;; esac\n'
        f'exec {sys.executable} {ROOT / "tests/faults/tiny_runs.py"} {data} "$@"\n'
    )
    python.chmod(0o755)
    settings = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 60}
    environment = {**os.environ, "PYTHON": str(python)}
    # its own process stops in batch 22 and wakes the sweep, which hands the signal on
    with subprocess.Popen(words, env={**environment, "FAULT": "step 22 SIGSTOP"}, cwd=tmp_path, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:  # fmt: skip
        (child,) = stopped_children(process.pid)
        process.terminate()
        os.kill(child, signal.SIGCONT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "and saved in" in out and "stopped at seed 2" in err
    first, second = sorted((tmp_path / "results").iterdir())
    assert (first / "DONE").exists() and not (second / "DONE").exists()
    assert subprocess.run(words, env=environment, **settings).returncode == 0
    assert (second / "DONE").exists()


def stopped_children(parent):
    """The numbers of the children of a process that SIGSTOP has stopped, as soon as there are any."""
    for _ in range(600):
        listed = subprocess.run(
            ["ps", "-o", "pid=,stat=", "--ppid", str(parent)], capture_output=True, text=True
        ).stdout
        found = [int(line.split()[0]) for line in listed.splitlines() if line.split()[1].startswith("T")]
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("no child was stopped")


def test_a_run_that_a_signal_without_a_name_ended(tmp_path, monkeypatch):
    """Real-time signals have numbers only."""
    (tmp_path / "main.py").write_text("import os\nos.kill(os.getpid(), 40)\n")
    monkeypatch.setattr(processes, "MAIN", tmp_path / "main.py")
    errors = []
    run_all([Job("a", tmp_path / "a", [], {}, 1)], tmp_path, lambda job, error: errors.append(error), quiet=True)
    assert errors == ["ended by signal 40"]


def test_repeats_in_main_too(tmp_path):
    status, out, err = tiny_main.finish(
        f"--out_dir={tmp_path / 'run'}", "--epochs=3", fault="step 5 SIGTERM 0.003 SIGTERM"
    )
    assert (status, err) == (143, "") and "and saved in" in out
    assert contents(tmp_path / "run")


def test_signal_while_a_shell_sweep_starts_a_run(tmp_path):
    """The run has no number yet when the signal comes; it is stopped all the same, and no other one begins."""
    stand_in, hook = tmp_path / "python", tmp_path / "hook"
    stand_in.write_text("#!/bin/sh\necho begun >&2\nexec sleep 20\n")
    stand_in.chmod(0o755)
    hook.write_text("""trap 'if [[ $BASH_COMMAND == "run=\\$!" ]]; then kill -TERM $$; fi' DEBUG\n""")
    surroundings = os.environ | {"PYTHON": str(stand_in), "BASH_ENV": str(hook)}
    sweep = [str(ROOT / "sweep_seeds.sh"), "1-3"]
    done = subprocess.run(sweep, env=surroundings, capture_output=True, text=True, timeout=15)
    assert done.returncode == 143 and "stopped at seed 1" in done.stderr
    assert done.stderr.count("begun") <= 1
