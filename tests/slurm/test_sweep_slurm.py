"""sweep_slurm.sh: its words with a stand-in for sbatch, and runs that a real Slurm on this machine
interrupts in every way."""

import contextlib
import getpass
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "sweep_slurm.sh")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel")
needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="sweep_slurm.sh needs bash")
needs_slurm = pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="Slurm is not installed (slurm-wlm)")

STAND_IN = r"""#!/usr/bin/env bash
printf '<%s>\n' "$@" >words
cat "${@: -1}" >copied
"""


@pytest.fixture
def stand_in(tmp_path):
    """An environment whose sbatch writes down its words and the list that it was given."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "sbatch"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    return environment | {"PATH": f"{program.parent}:{os.environ['PATH']}"}


def submit(place, environment, *words):
    return subprocess.run([SCRIPT, *words], cwd=place, env=environment, capture_output=True, text=True, timeout=30)


@needs_bash
def test_one_array_task_per_line_and_all_further_words_go_to_sbatch(tmp_path, stand_in):
    folder = tmp_path / "my runs"
    folder.mkdir()
    (folder / "a list.txt").write_text("first 'a b'\n\n  \nsecond")
    assert submit(tmp_path, stand_in, "my runs/a list.txt", "--time=1:00", "--comment=two words").returncode == 0
    *words, script, copy = [line[1:-1] for line in (tmp_path / "words").read_text().splitlines()]
    logs = f"{folder}/a list.txt.log"
    assert words == [
        f"--chdir={tmp_path}",
        "--array=1-2",
        f"--output={logs}/%A_%a.txt",
        "--time=1:00",
        "--comment=two words",
    ]
    assert script == SCRIPT and copy.startswith(f"{logs}/list.")
    # blank lines are no tasks, and the last line needs no end
    assert (tmp_path / "copied").read_text() == "first 'a b'\nsecond\n"


@needs_bash
def test_a_list_that_changes_later_changes_no_task(tmp_path, stand_in):
    (tmp_path / "runs.txt").write_text("old\n")
    submit(tmp_path, stand_in, "runs.txt")
    (tmp_path / "runs.txt").write_text("new\n")
    copy = (tmp_path / "words").read_text().splitlines()[-1][1:-1]
    assert Path(copy).read_text() == "old\n"


@needs_bash
@pytest.mark.parametrize(
    "words, text",
    [
        ([], "the list of runs is missing"),
        (["--time=1"], "the list of runs is missing"),
        (["none.txt"], "none.txt: is not a file that can be read"),
        (["."], ".: is not a file that can be read"),
        (["empty.txt"], "empty.txt: is empty; nothing is left to do"),
        (["blank.txt"], "blank.txt: is empty; nothing is left to do"),
    ],
)
def test_mistakes_are_refused_before_anything_is_submitted(tmp_path, stand_in, words, text):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text("\n \n")
    done = submit(tmp_path, stand_in, *words)
    assert done.returncode == 2 and f"sweep_slurm.sh: {text}" in done.stderr
    assert not (tmp_path / "words").exists() and not list(tmp_path.glob("*.log/list.*"))


@needs_bash
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another xargs")
def test_without_slurm_another_way_is_told(tmp_path):
    words = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "--size_hidden=[7, 5]", "--name=it's a\\b"]
    (tmp_path / "all runs.txt").write_text(shlex.join(words) + "\n")
    (tmp_path / "bin").mkdir()
    for name in ("bash", "env"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    done = submit(tmp_path, {"PATH": str(tmp_path / "bin")}, "all runs.txt")
    assert done.returncode == 2 and "there is no sbatch here; on one machine: xargs" in done.stderr
    _, _, there = done.stderr.partition("on one machine: ")
    page = re.search(r"^ +(xargs .*)$", (ROOT / "docs" / "sweeps.md").read_text(), re.MULTILINE)[1]
    shutil.copy(tmp_path / "all runs.txt", tmp_path / "runs.txt")
    for told in (there, page):
        ran = subprocess.run(told, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{words[3:]}\n", "")


# ---- a real Slurm


def wait_for(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)
    return result


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Slurm:
    """A controller and two nodes on the loopback; everything of it lies in `folder`."""

    def __init__(self, folder):
        self.folder, self.daemons = folder, {}
        words = dict(zip(("CONTROLLER", "FIRST", "SECOND"), free_ports(3), strict=True))
        words |= {"DIR": folder, "USER": getpass.getuser()}
        text = Path(__file__).with_name("slurm.conf.in").read_text()
        for name, value in words.items():
            text = text.replace(f"@{name}@", str(value))
        (folder / "state").mkdir()
        (folder / "slurm.conf").write_text(text)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
        self.environment = clean | {"SLURM_CONF": str(folder / "slurm.conf")}

    def start(self, name, *words):
        settings = {"env": self.environment | {"DAEMON": name}, "start_new_session": True}
        with open(self.folder / f"{name}.out", "ab") as out:
            self.daemons[name] = subprocess.Popen(words, stdout=out, stderr=out, **settings)

    def run(self):
        self.start("slurmctld", "slurmctld", "-D", "-i")
        for node in ("n1", "n2"):
            self.start(node, "slurmd", "-D", "-N", node)
        idle = ["sinfo", "--noheader", "--Node", "--partition=main", "--format=%T"]
        wait_for(lambda: self(*idle, check=False).split() == ["idle", "idle"], "two idle nodes")

    def stop(self):
        """End the daemons and whatever they have started."""
        for daemon in self.daemons.values():
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.kill()

    def __call__(self, *words, check=True, cwd=None):
        done = subprocess.run(words, cwd=cwd, env=self.environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def kill(self, node=None):
        """Kill whatever this Slurm has started, on one node only if it is named."""
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (place / "environ").read_bytes().decode(errors="replace").split("\0")
                mine = f"SLURM_CONF={self.folder / 'slurm.conf'}" in words and int(place.name) != os.getpid()
                here = node is None or f"DAEMON={node}" in words or f"SLURMD_NODENAME={node}" in words
                if mine and here:
                    os.kill(int(place.name), signal.SIGKILL)

    def tasks(self, job):
        """{number in the array: (state, why it waits, node)} of the tasks that have not ended."""
        lines = self(
            "squeue", "--noheader", "--array", f"--jobs={job}", "--format=%K|%T|%r|%N", check=False
        ).splitlines()
        return {int(number): tuple(rest) for number, *rest in (line.split("|") for line in lines)}

    def release(self, job):
        """Let requeued tasks start at once, where a cluster waits two minutes; returns the tasks that it has seen."""
        tasks = self.tasks(job)
        for number, (state, reason, _) in tasks.items():
            if state == "PENDING" and reason == "BeginTime":
                self("scontrol", "update", f"jobid={job}_{number}", "StartTime=now", check=False)
                # If it were told too often, it would never come to it.
                time.sleep(1)
        return tasks


@pytest.fixture
def slurm(tmp_path):
    (tmp_path / "slurm").mkdir()
    slurm = Slurm(tmp_path / "slurm")
    try:
        slurm.run()
        yield slurm
    finally:
        slurm.stop()


EPOCHS = 25
OPTIONS = [
    "--config_module=configs.configs_mnist.mnist_bp",
    "--train_samples=1000",
    "--no_val_set",
    f"--epochs={EPOCHS}",
]
OPTIONS += ["--threads=1"]


def listed(place, name, *words):
    command = [sys.executable, str(ROOT / "run_seed_robustness.py"), *OPTIONS, f"--name={name}", *words]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def rows(folder):
    with contextlib.suppress(OSError):
        return len((folder / "metrics.csv").read_text().splitlines()) - 1
    return 0


def bits(folder):
    """{name: bytes} of what a run ended with, and its series without the times."""
    lines = (folder / "metrics.csv").read_text().splitlines()
    weights = {path.name: path.read_bytes() for path in folder.glob("*L*.npy")}
    return weights | {"series": [line.rpartition(",")[0] for line in lines]}


@needs_bash
@needs_slurm
@pytest.mark.slurm
def test_runs_survive_preemption_the_end_of_their_time_and_the_loss_of_a_node(slurm, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    good, (wild,) = (
        listed(place, "good", "--nb_seeds=3", "--list"),
        listed(place, "wild", "--nb_seeds=1", "--lr=1e6", "--list"),
    )
    (place / "runs.txt").write_text("\n".join([wild, *good]) + "\n")
    folders = [place / shlex.split(line)[-3].removeprefix("--out_dir=") for line in good]
    environment = slurm.environment
    done = subprocess.run(
        [SCRIPT, "runs.txt", "--mem=100"], cwd=place, env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    job = done.stdout.split()[-1]
    # The keys are the numbers of their tasks.
    runs = dict(enumerate(folders, 2))
    logs = {number: place / "runs.txt.log" / f"{job}_{number}.txt" for number in runs}
    # These are the epochs at the last interruption.
    saved = dict.fromkeys(runs, 0)

    def at_work():
        """A task whose run has done epochs since it was last interrupted, and has some left."""
        running = [
            number for number, (state, *_) in slurm.release(job).items() if state == "RUNNING" and number in runs
        ]
        return next((number for number in running if saved[number] + 1 < rows(runs[number]) < EPOCHS - 5), None)

    def interrupted(number, before):
        return logs[number].read_text().count("interrupted in epoch") > before

    # preemption: an urgent job takes both nodes
    wait_for(lambda: rows(runs[2]) > 1 and rows(runs[3]) > 1, "two runs at work")
    slurm("sbatch", "--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=true", cwd=place)
    wait_for(lambda: interrupted(2, 0) and interrupted(3, 0), "two saved runs")
    saved |= {number: rows(runs[number]) for number in (2, 3)}
    assert max(saved.values()) < EPOCHS

    # the signal that comes when the time is nearly up
    number = wait_for(at_work, "a run to go on")
    before = logs[number].read_text().count("interrupted in epoch")
    slurm("scancel", "--batch", "--signal=USR1", f"{job}_{number}")
    wait_for(lambda: interrupted(number, before), "the run to be saved")
    saved[number] = rows(runs[number])
    assert saved[number] < EPOCHS

    # the loss of a node with all that is on it
    number = wait_for(at_work, "another run to go on")
    slurm.kill(node := slurm.tasks(job)[number][-1])
    assert rows(runs[number]) < EPOCHS
    slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")

    wait_for(lambda: not slurm.release(job), "the end of all tasks", 240)
    assert "diverged" in (place / "runs.txt.log" / f"{job}_1.txt").read_text()
    assert "JobState=FAILED Reason=NonZeroExitCode" in " ".join(slurm("scontrol", "show", "job", f"{job}_1").split())
    assert listed(place, "good", "--nb_seeds=3", "--list") == []
    assert listed(place, "good", "--nb_seeds=3", "--status")[-1] == "finished 3, running 0, waiting 0, failed 0"
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for line in good:
        subprocess.run(
            ["bash", "-c", line], cwd=undisturbed, env=environment, check=True, timeout=120, stdout=subprocess.DEVNULL
        )
    for folder in folders:
        assert bits(folder) == bits(undisturbed / folder.relative_to(place))
