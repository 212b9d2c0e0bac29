"""Output that goes nowhere: closed pipes, full disks, closed files, lost terminals, odd encodings.
No training ends by it."""

import functools
import io
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from core.program import Dropping, lossless
from tests.faults import tiny_main
from tests.faults.tiny_runs import ROOT, in_process, only, results, write_data

RUN = [sys.executable, str(ROOT / "tests/faults/tiny_runs.py")]
MAIN = [sys.executable, str(ROOT / "tests/faults/tiny_main.py"), *tiny_main.TINY]
FIGURE_2 = [sys.executable, str(ROOT / "run_toy_exp_fig2.py"), "--quick", "--count=20"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The folder of a run whose output somebody read."""
    place = tmp_path_factory.mktemp("whole")
    subprocess.run(words_of("run.py", data, place), check=True, capture_output=True, timeout=60)
    return only(place)


def words_of(program, data, place):
    if program == "run.py":
        return [*RUN, f"--data_dir={data}", f"--results_dir={place}", "--nb_epochs=3", "--threads=1"]
    if program == "main.py":
        return [*(word for word in MAIN if word != "--quiet"), f"--out_dir={place / 'run'}"]
    return [*FIGURE_2, f"--out_dir={place}"]


def shell(line, **settings):
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=60, **settings
    )


# What becomes of the output: the end of a line of bash, whose status is that of the program.
LOST = {
    "reader that leaves at once": "| true",
    "reader that leaves later": "| head -1",
    "both in a pipe that breaks": "2>&1 | head -1",
    "full disk": ">/dev/full",
    "full disk for both": ">/dev/full 2>&1",
    "closed": ">&-",
    "all closed": "<&- >&- 2>&-",
    "stderr closed": "2>&-",
}


@pytest.mark.parametrize(
    "program, lost",
    [
        *(("run.py", lost) for lost in LOST),
        *(("main.py", lost) for lost in ("full disk", "all closed", "reader that leaves later")),
        ("run_toy_exp_fig2.py", "both in a pipe that breaks"),
    ],
)
def test_lost_output_changes_nothing(program, lost, data, whole, tmp_path):
    line = shlex.join(words_of(program, data, tmp_path / "place"))
    done = shell(f"{line} {LOST[lost]}")
    assert done.returncode == 0, done.stderr
    assert "rror" not in done.stderr and "ignored" not in done.stderr
    if program == "run.py":
        assert results(only(tmp_path / "place")) == results(whole)
    elif program == "main.py":
        assert (tmp_path / "place/run/DONE").exists()


@pytest.mark.parametrize("lost", ["| true", ">/dev/full 2>&1", ">&- 2>&-"])
def test_the_exit_status_of_a_mistake_is_that_of_printed_output(lost, data, tmp_path):
    line = shlex.join([*words_of("run.py", data, tmp_path), "--train_samples=99999"])
    assert shell(f"{line} {lost}").returncode == 2


def test_a_terminal_that_is_gone(data, whole, tmp_path):
    """As after disown: no SIGHUP, but every write is an error; the bars write to it, too."""
    leader, follower = pty.openpty()
    words = words_of("run.py", data, tmp_path / "place")
    with subprocess.Popen(words, stdin=follower, stdout=follower, stderr=follower, start_new_session=True) as process:
        os.close(follower)
        os.read(leader, 100)
        os.close(leader)
        assert process.wait(timeout=60) == 0
    assert results(only(tmp_path / "place")) == results(whole)


def test_ctrl_c_of_a_run_into_tee_saves(data, whole, tmp_path):
    """tee dies of it first, so that the run's last words break a pipe."""
    words = words_of("run.py", data, tmp_path / "place")
    line = f"trap '' PIPE; TINY_FAULT='step 4 SIGINT' {shlex.join(words)} | (read -r line; exec <&-)"
    done = shell(line)
    assert (done.returncode, done.stderr) == (130, "")
    again = subprocess.run([*words, "--load"], capture_output=True, timeout=60)
    assert again.returncode == 0 and results(only(tmp_path / "place")) == results(whole)


SWEEP = [
    "--name=n",
    "--nb_seeds=1",
    "--config_module=configs.toy_experiments.config_fig1D",
    "--regression",
    "--epochs=1",
]
SWEEP += ["--epochs_fb=1", "--num_train=20", "--num_val=10", "--num_test=10", "--batch_size=10", "--tmax_di=20"]


@pytest.mark.parametrize("lost", ["| head -1", ">&- 2>/dev/full"])
def test_sweeps_go_on_too(lost, tmp_path):
    line = shlex.join([sys.executable, str(ROOT / "run_seed_robustness.py"), *SWEEP, f"--out_dir={tmp_path}"])
    done = shell(f"{line} {lost}")
    # So short a run may be said to have stopped early.
    assert done.returncode in (0, 3), done.stderr
    assert (tmp_path / "n.csv").exists() and "Traceback" not in done.stderr


@pytest.mark.skipif(not shutil.which("bash"), reason="sweep_seeds.sh needs bash")
@pytest.mark.parametrize("lost", ["| true", "2>&1 | head -1", "<&- >&- 2>&-", ">/dev/full 2>&1"])
def test_sweep_seeds_goes_on_too(lost, data, whole, tmp_path):
    """A shell that prints into a broken pipe is killed for it, unless it says otherwise."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift\nexec {shlex.join(RUN)} {shlex.quote(f"--data_dir={data}")} "$@"\n')
    python.chmod(0o755)
    words = [str(ROOT / "sweep_seeds.sh"), "1-2", f"--results_dir={tmp_path / 'place'}", "--nb_epochs=3", "--threads=1"]
    done = shell(f"{shlex.join(words)} {lost}", env={**os.environ, "PYTHON": str(python)})
    assert done.returncode == 0 and "rror" not in done.stderr, done.stderr
    first, second = sorted((tmp_path / "place").iterdir())
    assert results(first) == results(whole) and (second / "DONE").exists()


def test_a_stack_of_seeds_goes_on_too(data, whole, tmp_path):
    line = shlex.join([*words_of("run.py", data, tmp_path / "place"), "--seeds=1,2"])
    assert shell(f"{line} 2>&1 | head -1").returncode == 0
    first, second = sorted((tmp_path / "place").iterdir())
    assert results(first) == results(whole) and (second / "DONE").exists()


@pytest.mark.parametrize("name", ["Größe", "\udcff\udcfe"])
@pytest.mark.parametrize("setting", [{"PYTHONIOENCODING": "ascii"}, {"LANG": "C", "LC_ALL": "C"}, {}])
def test_paths_that_cannot_be_encoded_are_escaped(name, setting, data, tmp_path):
    place = tmp_path / name
    done = subprocess.run(
        words_of("run.py", data, place), env={**os.environ, **setting}, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"finished 3 epochs" in done.stdout and b"files:" in done.stdout
    assert (only(place) / "DONE").exists()


@pytest.mark.parametrize("script", ["figures/precision.py", "figures/alignment_depth.py"])
def test_help_that_cannot_be_encoded_is_escaped(script):
    """Both explain an option with an ellipsis, which ASCII does not have."""
    words, setting = [sys.executable, "-OO", str(ROOT / script), "--help"], {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, env={**os.environ, **setting}, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u2026" in done.stdout and b"--nb_seeds" in done.stdout


# ---- the parts


class Broken(io.TextIOBase):
    def __init__(self, error):
        self.error = error

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error


@pytest.mark.parametrize(
    "stream", [None, *map(Broken, (BrokenPipeError(), OSError(28, "full"), ValueError("closed file")))]
)
def test_no_stream_is_too_broken(stream, tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    assert call("--nb_epochs=1") == 0
    assert call("--nb_epochs=1") == 2
    assert sys.stdout is stream and sys.stderr is stream


def test_what_can_be_printed_is_printed():
    buffer = io.BytesIO()
    stream = Dropping(io.TextIOWrapper(buffer, encoding="latin-1"))
    print("aä€\udcff", file=stream, flush=True)
    assert buffer.getvalue() == b"a\xe4\\u20ac\\udcff\n"
    assert stream.encoding == "latin-1" and not stream.isatty()


def test_errors_of_the_program_itself_are_not_dropped():
    with pytest.raises(OSError), lossless():
        raise OSError


# ---- the interpreter


SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.py"), *ROOT.glob("figures/*.py"))
    if re.search(r'^if __name__ == "__main__":\n', path.read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_start_without_docstrings_and_outside_their_folder(script, tmp_path):
    """python -OO, and PYTHONSAFEPATH=1, which keeps the folder of the script from the places where
    Python looks for modules."""
    words = [sys.executable, "-OO", str(ROOT / script), "--help"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "usage:" in done.stdout


def test_a_run_without_docstrings_is_the_same(data, whole, tmp_path):
    words = words_of("run.py", data, tmp_path / "place")
    subprocess.run([words[0], "-OO", *words[1:]], check=True, capture_output=True, timeout=60)
    assert results(only(tmp_path / "place")) == results(whole)


# ---- too little memory, too few threads


@pytest.mark.parametrize("program", ["run.py", "main.py"])
@pytest.mark.parametrize("error", [MemoryError(), MemoryError("Unable to allocate 9 GiB")])
def test_too_little_memory_is_one_sentence(error, program, tmp_path, monkeypatch, capsys):
    import dfc.learners
    import gait.learner

    call = in_process(tmp_path, monkeypatch) if program == "run.py" else tiny_main.in_process(tmp_path, monkeypatch)

    def step(*_):
        raise error

    monkeypatch.setattr(gait.learner.Learner, "step", step)
    monkeypatch.setattr(dfc.learners.ForwardLearner, "step", step)
    assert call("--quiet") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith(f"{program}: there is not enough memory") and "--load" in err


def test_too_few_threads_is_one_sentence(tmp_path, monkeypatch, capsys):
    import threading

    import run

    def start(self):
        raise RuntimeError("can't start new thread")

    call = in_process(tmp_path, monkeypatch)
    # passes as small as these would not be divided
    monkeypatch.setattr(run, "Workers", functools.partial(run.Workers, least=0))
    monkeypatch.setattr(threading.Thread, "start", start)
    assert call("--quiet", "--threads=2", "--algorithm=GAIT", "--orthogonal_reg=0.1") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "thread" in err and err.startswith("run.py: ")


def test_other_errors_of_the_program_keep_their_traceback(tmp_path, monkeypatch):
    import gait.learner

    def step(*_):
        raise RuntimeError("a mistake in the program")

    call = in_process(tmp_path, monkeypatch)
    monkeypatch.setattr(gait.learner.Learner, "step", step)
    with pytest.raises(RuntimeError, match="mistake"):
        call("--quiet")
