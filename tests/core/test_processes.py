"""sweeps.processes with a stand-in for main.py that does as it is told by --do."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.files import FileError
from core.locks import alone
from core.options import UsageError
from sweeps import processes as sweeps
from sweeps.processes import Interrupted, Job, run_all

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = r"""
import json, os, signal, sys, time
from pathlib import Path
options = dict(word[2:].partition("=")[::2] for word in sys.argv[1:])
folder, do = Path(options["out_dir"]), options["do"]
def leave(number, frame):
    print("saved", flush=True)
    time.sleep(float(options.get("leave", 0)))
    (folder / "left").touch()
    sys.exit(128 + number)
def wait_for(pattern, count):
    deadline = time.monotonic() + 20
    while len(list(folder.parent.glob(pattern))) < count:
        if time.monotonic() > deadline:
            sys.exit("waited in vain")
        time.sleep(0.01)
if do == "wait":
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
(folder / "running").touch()
start = {"argv": sys.argv[1:], "running": len(list(folder.parent.glob("*/running"))), "session": os.getsid(0)}
start["left"] = len(list(folder.parent.glob("*/left")))
start["threads"] = [os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")]
(folder / "start.json").write_text(json.dumps(start))
print("begin")
if do == "meet":  # and be counted
    wait_for("*/start.json", 2)
elif do == "wait":
    print("waiting", flush=True)
    time.sleep(20)
elif do == "fail":
    sys.exit("main.py: --lr=0: is out of range")
elif do == "diverge":
    print("main.py: diverged in epoch 1", file=sys.stderr)
    sys.exit(3)
elif do == "die":
    os.kill(os.getpid(), signal.SIGKILL)
elif do == "say nothing":
    os.truncate(folder / "log.txt", 0)
    os._exit(7)
(folder / "running").unlink()
print("end")
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    program = tmp_path / "main.py"
    program.write_text(STAND_IN)
    monkeypatch.setattr(sweeps, "MAIN", program)
    return program


class Sweep:
    """Runs in a folder, and what was told of their ends."""

    def __init__(self, folder):
        self.folder, self.ends = folder, []

    def make(self, name, do="nothing", *argv, epochs=5, **settings):
        return Job(name, self.folder / name, [f"--do={do}", *argv], {"lr": 0.1} | settings, epochs)

    def __call__(self, *runs, **how):
        self.ends.clear()
        run_all(list(runs), self.folder, lambda run, error: self.ends.append((run.name, error)), **how)
        return dict(self.ends)

    def start(self, name):
        return json.loads((self.folder / name / "start.json").read_text())

    def started(self):
        return sorted(path.parent.name for path in self.folder.glob("*/start.json"))


@pytest.fixture
def sweep(tmp_path, stand_in):
    return Sweep(tmp_path / "sweep")


def earlier(run, outcome=None, **settings):
    """Put a run into the folder of `run`; `outcome` is the content of DONE."""
    run.folder.mkdir(parents=True)
    (run.folder / "config.json").write_text(json.dumps({"settings": run.settings | settings, "options": {}}))
    if outcome:
        (run.folder / "DONE").write_text(json.dumps(outcome))


def test_every_run_gets_its_command_line_its_folder_and_its_share_of_threads(sweep, monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "threads_each", {1: 7, 2: 3}.get)
    runs = [sweep.make("a", "nothing", "--lr=0.1"), sweep.make("b c")]
    assert sweep(*runs, jobs=2) == {"a": None, "b c": None}
    folder = sweep.folder / "b c"
    assert sweep.start("a")["argv"][:3] == ["--threads=3", "--do=nothing", "--lr=0.1"]
    # the run's own words come later and win
    assert sweep.start("b c")["argv"] == [
        "--threads=3",
        "--do=nothing",
        f"--out_dir={folder}",
        "--quiet",
        "--load_or_start",
    ]
    assert sweep.start("a")["threads"] == ["3", "3", "3"]
    assert (folder / "log.txt").read_text() == "begin\nend\n"
    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed) == ["a: begin", "a: end", "b c: begin", "b c: end"]


def test_quiet_prints_nothing_and_logs_all_the_same(sweep, capsys):
    assert sweep(sweep.make("a"), quiet=True) == {"a": None}
    assert capsys.readouterr() == ("", "")
    assert (sweep.folder / "a" / "log.txt").read_text() == "begin\nend\n"


@pytest.mark.parametrize(
    "cores, alone, shares", [(8, 4, (4, 4, 2, 1, 1)), (2, 2, (2, 1, 1, 1, 1)), (8, 1, (1, 1, 1, 1, 1))]
)
def test_the_cores_are_divided_among_the_jobs(cores, alone, shares, monkeypatch):
    """No run gets more threads than it would take alone, none fewer than one."""
    monkeypatch.setattr(sweeps.os, "sched_getaffinity", lambda process: range(cores), raising=False)
    monkeypatch.setattr(sweeps, "default_count", lambda: alone)
    assert tuple(map(sweeps.threads_each, (1, 2, 4, 8, 64))) == shares


def test_as_many_runs_at_a_time_as_asked_for_and_no_more(sweep):
    names = ["a", "b", "c", "d"]
    assert sweep(*(sweep.make(name, "meet") for name in names), jobs=2, quiet=True) == dict.fromkeys(names)
    assert max(sweep.start(name)["running"] for name in names) == 2
    sweep.folder = sweep.folder.with_name("one by one")
    assert sweep(*(sweep.make(name) for name in names), quiet=True) == dict.fromkeys(names)
    assert [name for name, _ in sweep.ends] == names
    assert {sweep.start(name)["running"] for name in names} == {1}


def test_a_failing_run_loses_none_of_the_others_and_tells_its_sentence(sweep):
    runs = [sweep.make(do, do) for do in ("fail", "die", "diverge", "say nothing", "nothing")]
    assert sweep(*runs, quiet=True) == {
        "fail": "--lr=0: is out of range",
        "die": "ended by SIGKILL",
        # It is an outcome, with results.
        "diverge": None,
        "say nothing": "exit status 7",
        "nothing": None,
    }


def test_only_what_has_no_outcome_yet_is_run(sweep):
    names = ("new", "finished", "diverged", "stopped", "unfinished", "shorter")
    new, finished, diverged, stopped, unfinished, shorter = runs = [sweep.make(name) for name in names]
    earlier(finished, {"outcome": "finished", "epochs": 5})
    earlier(diverged, {"outcome": "diverged", "epoch": 2})
    earlier(stopped, {"outcome": "stopped", "epoch": 2})
    earlier(unfinished)
    earlier(shorter, {"outcome": "finished", "epochs": 4})
    assert sweep(*runs, quiet=True) == dict.fromkeys(names)
    assert [name for name, _ in sweep.ends] == ["finished", "diverged", "stopped", "new", "unfinished", "shorter"]
    assert sweep.started() == ["new", "shorter", "unfinished"]
    sweep(*runs, quiet=True, overwrite=True)
    assert sweep.started() == sorted(names)
    assert sweep.start("finished")["argv"][-1] == "--overwrite"
    # It is the log of the new run only.
    assert (new.folder / "log.txt").read_text() == "begin\nend\n"


def test_starting_again_empties_the_logs_of_all_but_runs_in_use(sweep):
    runs = [sweep.make(name) for name in ("free", "held")]
    for run in runs:
        earlier(run)
        (run.folder / "log.txt").write_text("before\n")
    with alone(runs[1].folder):
        sweep(*runs, quiet=True, overwrite=True)
    logs = [(run.folder / "log.txt").read_text() for run in runs]
    assert logs == ["begin\nend\n", "before\nbegin\nend\n"]


@pytest.mark.parametrize(
    "outcome, settings, sentence",
    [
        (None, {"lr": 0.2}, "{} was made with lr = 0.2, not 0.1"),
        ({"outcome": "finished", "epochs": 6}, {}, "--epochs=5: {} holds a run of 6 epochs already"),
    ],
)
def test_another_run_in_a_folder_is_refused_before_anything_is_started(sweep, outcome, settings, sentence):
    runs = [sweep.make("a"), sweep.make("b")]
    earlier(runs[1], outcome, **settings)
    with pytest.raises(UsageError) as refusal:
        sweep(*runs)
    assert str(refusal.value) == sentence.format(runs[1].folder)
    assert sweep.started() == [] and sweep.ends == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_the_runs_when_they_have_saved(sweep, name):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    runs = [sweep.make("a", "wait"), sweep.make("b", "wait"), sweep.make("later")]

    def call():
        deadline = time.monotonic() + 20
        while len(sweep.started()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        if sweep.started() == ["a", "b"]:
            os.kill(os.getpid(), getattr(signal, name))

    with pytest.raises(Interrupted) as stop, ThreadPoolExecutor() as threads:
        threads.submit(call)
        sweep(*runs, jobs=2, quiet=True)
    assert stop.value.signal == getattr(signal, name)
    # Being stopped is no failure.
    assert sweep.ends == []
    for run in runs[:2]:
        assert (run.folder / "log.txt").read_text().endswith("saved\n") and (run.folder / "left").exists()
    assert sweep.started() == ["a", "b"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_terminal_reaches_the_sweep_alone(sweep):
    """A second Ctrl-C, one from the terminal and one from the sweep, would end main.py before it has saved."""
    sweep(sweep.make("a"), quiet=True)
    assert sweep.start("a")["session"] != os.getsid(0)


def test_a_signal_after_the_last_run_is_no_interruption(sweep):
    def ended(run, error):
        os.kill(os.getpid(), signal.SIGINT)

    run_all([sweep.make("a")], sweep.folder, ended, quiet=True)


def test_an_error_while_results_are_taken_leaves_no_process_behind(sweep):
    def ended(run, error):
        raise FileError("the disk is full")

    deadline = time.monotonic() + 10
    with pytest.raises(FileError, match="full"):
        run_all([sweep.make("a", "meet"), sweep.make("b", "wait")], sweep.folder, ended, jobs=2, quiet=True)
    assert (sweep.folder / "b" / "left").exists() and time.monotonic() < deadline


def test_a_folder_that_cannot_be_used_is_told(sweep):
    sweep.folder.write_text("a file")
    with pytest.raises(FileError, match=f"cannot use the folder {sweep.folder}"):
        sweep(sweep.make("a"))


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from sweeps import processes as sweeps
sweeps.MAIN = Path(sys.argv[2])
folder = Path(sys.argv[3])
sweeps.run_all([sweeps.Job("a", folder / "a", ["--do=wait", "--leave=1"], {}, 1)], folder, print)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the runs of a killed sweep go on to their end")
def test_runs_of_a_killed_sweep_are_stopped_and_the_next_sweep_waits_for_them(sweep, stand_in, capfd):
    words = [sys.executable, "-c", KILLED, str(ROOT), str(stand_in), str(sweep.folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        while process.stdout.readline() not in ("a: waiting\n", ""):
            pass
        process.kill()
    # It takes a while to save.
    assert not (sweep.folder / "a" / "left").exists()
    assert sweep(sweep.make("b")) == {"b": None}
    assert sweep.start("b")["left"] == 1
    assert f"waiting for another sweep in {sweep.folder}" in capfd.readouterr().err
    assert (sweep.folder / "a" / "log.txt").read_text().endswith("saved\n")


def test_jobs_that_share_a_process_are_groups_of_the_size_asked_for():
    jobs = list("abcde")
    assert sweeps.groups(jobs, 1) == [["a"], ["b"], ["c"], ["d"], ["e"]]
    assert sweeps.groups(jobs, 2) == [["a", "b"], ["c", "d"], ["e"]]
    assert sweeps.groups(jobs, 0) == [jobs] and sweeps.groups(jobs, 0, 2) == [["a", "b", "c"], ["d", "e"]]
    assert sweeps.groups([], 0) == []


REFUSING = r"""
import os, signal, sys, time
from pathlib import Path
options = dict(word[2:].partition("=")[::2] for word in sys.argv[1:])
seeds = options["seeds"].split(",") if "seeds" in options else [options["random_seed"]]
with open(Path(__file__).with_name("started"), "a") as file:
    print(*seeds, file=file)
for seed in BAD:
    if seed in seeds:
        END
for seed in seeds:
    folder = Path(options["out_dir"], f"seed_{seed}") if "seeds" in options else Path(options["out_dir"])
    (folder / "DONE").write_text("new")
"""


@pytest.fixture
def refusing(tmp_path, monkeypatch):
    """A sweep of six seeds, function (seeds, what a process with one of them does) -> ({name: error}, groups)."""

    def go(bad, end='sys.exit(print(f"main.py: seed_{seed} is damaged") or 2)', **how):
        program = tmp_path / "main.py"
        program.write_text(REFUSING.replace("BAD", repr(bad)).replace("END", end))
        monkeypatch.setattr(sweeps, "MAIN", program)
        jobs = [Job(f"seed_{seed}", tmp_path / f"seed_{seed}", [], {}, 5, seed=seed) for seed in range(6)]
        ends = []
        run_all(jobs, tmp_path, lambda job, error: ends.append((job.name, error)), together=0, quiet=True, **how)
        assert len(ends) == 6
        return dict(ends), (tmp_path / "started").read_text().splitlines()

    return go


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_is_refused_does_not_stop_those_that_share_its_process(jobs, refusing):
    ends, started = refusing(["4"], jobs=jobs)
    assert ends == dict.fromkeys(f"seed_{seed}" for seed in range(6)) | {"seed_4": "seed_4 is damaged"}
    assert started.count("4") == 1 and "0 1 2" in started


def test_what_all_runs_are_refused_for_is_told_of_each(refusing):
    ends, _ = refusing([str(seed) for seed in range(6)])
    assert ends == {f"seed_{seed}": f"seed_{seed} is damaged" for seed in range(6)}


@pytest.mark.parametrize("before", [False, True])
def test_an_outcome_that_was_there_before_is_none_of_a_process_that_dies(before, refusing, tmp_path):
    """The first seed has ended before the process dies; the second has the outcome of an earlier run."""
    for seed in range(2) if before else ():
        (tmp_path / f"seed_{seed}").mkdir()
        (tmp_path / f"seed_{seed}/DONE").write_text("old")
        os.utime(tmp_path / f"seed_{seed}/DONE", (1, 1))
    first = 'Path(options["out_dir"], "seed_0", "DONE").write_text("new")'
    ends, started = refusing(["5"], f'{first}; sys.exit("main.py: no disk")', overwrite=True)
    assert ends == {"seed_0": None} | {f"seed_{seed}": "no disk" for seed in range(1, 6)}
    assert started == ["0 1 2 3 4 5"]


def test_of_a_group_whose_process_dies_those_that_had_ended_have_not_failed(tmp_path, monkeypatch, capsys):
    program = tmp_path / "main.py"
    program.write_text(
        "import sys\nfrom pathlib import Path\nfolder = Path(sys.argv[-3].partition('=')[2])\n"
        "print('seed 1: epoch 3/5')\nprint('a note')\n"
        "(folder / 'seed_1' / 'DONE').touch()\nsys.exit('main.py: no disk')\n"
    )
    monkeypatch.setattr(sweeps, "MAIN", program)
    jobs, ends = [Job(f"seed_{seed}", tmp_path / f"seed_{seed}", [], {}, 5, seed=seed) for seed in (1, 2)], {}
    run_all(jobs, tmp_path, lambda job, error: ends.update({job.name: error}), together=2)
    assert ends == {"seed_1": None, "seed_2": "no disk"}
    assert capsys.readouterr().out.splitlines() == [
        "seed_1: epoch 3/5",
        "seed_1 and seed_2: a note",
        "seed_1 and seed_2: main.py: no disk",
    ]
    assert (tmp_path / "seed_1" / "log.txt").read_text() == (tmp_path / "seed_2" / "log.txt").read_text() != ""
