"""Random command lines and damaged run folders: one sentence or a run, never a traceback, and nothing outside touched.

The command lines draw from the declared rows of the options, values within and outside their ranges, on tiny made-up
data.  `make test` tries 100 of each kind, `make fuzz` 2,000 (environment variable FUZZ).
"""

import contextlib
import dataclasses
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import campaign
import list_seeds
import main
import report
import run
import run_config
import run_pipeline
import run_seed_robustness
import run_toy_exp_fig1D
import run_toy_exp_fig2
import run_toy_exp_fig3
import summarise_seeds
import tidy
from core.options import _parse_bounds, as_path
from dfc.settings.flags import Options as MainOptions
from figures import learning_curves
from rules import RULES
from sweeps.processes import is_over
from tests.faults import tiny_main, tiny_runs

COUNT = int(os.environ.get("FUZZ", "100"))
# One case may take so long; a tiny run takes a tenth of a second.
SECONDS = 30
FUZZ = settings(
    max_examples=COUNT,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
STATUS = {0, 1, 2, 3}
ODD_NUMBERS = ["nan", "inf", "-inf", "1e999", "-1", "0", "1.5", "0x10", "[1, 2]", "(3,)", "[]"]
ODD_TEXTS = st.sampled_from([*ODD_NUMBERS, "", "x", "None", "True", "é", "\n", "a b", "--"])
# sizes beyond which a tiny run would not stay one; a bigger value is drawn only where it is out of range
LARGEST = {"nb_layers": 4, "threads": 2, "jobs": 1, "nb_seeds": 2, "count": 20, "device": 1}
LARGE_BY_NATURE = ("epochs", "num_", "size_", "tmax", "hidden", "batch_size", "nb_epochs", "train_samples", "extra_fb")


class Hanging(BaseException):
    """A case took longer than SECONDS."""


def values(field):
    """Texts for an option, of its declared kind and range, at its ends, and outside."""
    kind, bounds, choices = (field.metadata[name] for name in ("kind", "bounds", "choices"))
    if choices:
        return st.one_of(st.sampled_from(choices), ODD_TEXTS)
    if kind is as_path:
        return st.sampled_from(
            ["there", "there/below", "", "~", "file", "file/below", "x" * 300, "ü" * 130, "/dev/null", "a\nb"]
        )
    if kind in (int, float) and bounds:
        _, low, high, _ = _parse_bounds(bounds)
        low, high = max(low, -5), min(high, LARGEST.get(field.name, 6))
        inside = (
            st.integers(int(low), int(max(low, high)))
            if kind is int
            else st.floats(low, max(low, high), allow_nan=False)
        )
        edges = st.sampled_from([low, high, low - 1])
        return st.one_of(inside.map(repr), edges.map(lambda value: repr(kind(value))), ODD_TEXTS)
    return st.one_of(st.sampled_from(["0.1", "3", "[0.1, 0.1]", "tanh", "here"]), ODD_TEXTS)


@st.composite
def words(draw, record, most=6):
    """Some options of a record, as words of a command line."""
    fields = [field for field in dataclasses.fields(record) if "help" in field.metadata]
    chosen = draw(st.lists(st.sampled_from(fields), max_size=most)) if fields else []
    made = []
    for field in chosen:
        if isinstance(field.default, bool):
            made.append(f"--{field.name}")
        else:
            made.append(f"--{field.name}={draw(values(field))}")
    return made


@contextlib.contextmanager
def place():
    """A folder to work in, within another that must stay as it is."""
    with tempfile.TemporaryDirectory() as outer:
        inner = Path(outer, "here")
        inner.mkdir()
        (inner / "file").write_text("a file of the user's")
        Path(outer, "neighbour").write_text("untouched")
        before, home = os.getcwd(), os.environ.get("HOME")
        os.chdir(inner)
        os.environ["HOME"] = str(inner / "home")
        try:
            yield inner
            left = sorted(path.name for path in Path(outer).iterdir())
            assert left == ["here", "neighbour"] and Path(outer, "neighbour").read_text() == "untouched"
            assert (inner / "file").read_text() == "a file of the user's"
        finally:
            os.chdir(before)
            os.environ.pop("HOME") if home is None else os.environ.__setitem__("HOME", home)


def too_long(*_):
    raise Hanging


def status_of(script, argv):
    """The exit status of a script in this process; one sentence at most where it is 2."""
    out, err = io.StringIO(), io.StringIO()
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = script.main(list(argv))
            except SystemExit as stop:
                status = stop.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert status in STATUS, (status, argv, err.getvalue())
    assert "Traceback" not in err.getvalue() + out.getvalue(), argv
    if status == 2:
        told = [line for line in err.getvalue().splitlines() if ": note: " not in line]
        assert len(told) == 1, f"{argv[-2:]} {err.getvalue()}"
    return status


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    """The made-up data of both programs, and sweeps whose runs end at once, in place of the real ones."""
    folder = tmp_path_factory.mktemp("data")
    tiny_runs.write_data(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        import datasets

        patch.setattr(datasets, "CATALOGUE", tiny_runs.catalogue())
        tiny_main.install(patch.setattr)
        yield folder / "data"


# ---- command lines


@seed(1)
@FUZZ
@given(data=st.data())
def test_random_command_lines_of_run(tiny, data):
    base = [
        f"--data_dir={tiny}",
        "--nb_epochs=1",
        "--threads=1",
        "--results_dir=results",
        "--batch_size=30",
        "--backend=numpy",
    ]
    rule = RULES[data.draw(st.sampled_from(list(RULES)))]
    more = data.draw(words(run.Options)) + data.draw(words(rule.Options, 2))
    with place():
        for _ in range(data.draw(st.integers(1, 2))):
            status_of(run, [*base, f"--algorithm={rule.name}", *more])


@seed(2)
@FUZZ
@given(data=st.data())
def test_random_command_lines_of_main(data):
    base = [*tiny_main.TINY, "--epochs=1", "--out_dir=out", "--backend=numpy"]
    more = [*tiny_main.RULES[data.draw(st.sampled_from(list(tiny_main.RULES)))], *data.draw(words(MainOptions))]
    with place():
        for _ in range(data.draw(st.integers(1, 2))):
            status_of(main, [*base, *more])


SWEEPS = {
    run_config: ["--epochs=1"],
    run_seed_robustness: ["--nb_seeds=1", "--regression", "--quiet"],
    run_pipeline: ["--config_module=configs.toy_experiments.configs_fig3.config_dfa", "--quiet"],
    run_toy_exp_fig1D: ["--quick", "--quiet"],
    run_toy_exp_fig2: ["--count=5", "--quiet"],
    run_toy_exp_fig3: ["--quick", "--quiet"],
}


@seed(3)
@settings(FUZZ, max_examples=max(COUNT // 4, 1))
@given(data=st.data())
def test_random_command_lines_of_sweeps(data):
    script = data.draw(st.sampled_from(list(SWEEPS)))
    more = data.draw(words(script.Options)) + data.draw(words(MainOptions, 2)) * (script is not run_toy_exp_fig2)
    with place(), pytest.MonkeyPatch.context() as patch:
        # no processes: every run of a sweep has nothing left to do but to fail
        patch.setattr(
            sys.modules["sweeps.script"], "run_all", lambda runs, folder, ended, *how: [ended(r, "fails") for r in runs]
        )
        patch.setattr(
            run_toy_exp_fig1D, "experiment", lambda *_: (_ for _ in ()).throw(run_toy_exp_fig1D.FileError("no room"))
        )
        patch.setattr(main, "train", lambda _: (_ for _ in ()).throw(run_toy_exp_fig1D.FileError("no room")))
        status_of(script, [*SWEEPS[script], *more])


ROOT = Path(__file__).resolve().parents[2]
# script: (words before the random ones, record that these are drawn from); tiny_*.py are run.py and main.py
PROCESSES = {
    "tests/faults/tiny_runs.py": (["--nb_epochs=1", "--batch_size=30", "--backend=numpy"], run.Options),
    "tests/faults/tiny_main.py": ([*tiny_main.TINY, "--epochs=1", "--out_dir=out", "--backend=numpy"], MainOptions),
    "run_config.py": (["--dry_run", *tiny_main.TINY], run_config.Options),
    "run_strong.py": (["bp", "--dry_run"], run_config.Options),
    "run_seed_robustness.py": (["--list", "--nb_seeds=1"], run_seed_robustness.Options),
    "run_pipeline.py": (["--status", "--folder=here"], run_pipeline.Options),
    "run_toy_exp_fig2.py": (["--count=5"], run_toy_exp_fig2.Options),
    "campaign.py": (["--list", "--table=gait"], campaign.Options),
    "list_seeds.py": (["1 2", "--list"], run.Options),
    **{script: (["there"], campaign.Selection) for script in ("tidy.py", "report.py", "summarise_seeds.py")},
    "figures/learning_curves.py": (["there"], learning_curves.Options),
}


@seed(5)
@settings(FUZZ, max_examples=max(COUNT // 16, 1))
@given(data=st.data())
def test_random_command_lines_of_processes(tiny, data):
    """From the shell: what the tests within this process cannot see, such as handlers of signals and
    the interpreter's end."""
    script = data.draw(st.sampled_from(list(PROCESSES)))
    base, record = PROCESSES[script]
    base = [*base, f"--data_dir={tiny}"] if "tiny_runs" in script else base
    line = [sys.executable, str(ROOT / script), *base, *data.draw(words(record))]
    with place():
        done = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode in STATUS and "Traceback" not in done.stdout + done.stderr, (line, done.stderr)
    assert done.returncode != 2 or done.stderr.count("\n") - done.stderr.count("note: ") == 1, (line, done.stderr)


# ---- damaged folders

KINDS = ["truncate", "flip", "empty", "delete", "folder", "swap", "append", "foreign", "link", "text", "pipe"]
TEXTS = ["{}", "[]", "null", "NaN", "1e999", '{"settings": 3}', '{"outcome": "finished"}', "a,b\n"]
FOREIGN = ["x.npy", "0Lweights.npy", "DONE", ".hidden", "events.out.tfevents.1"]


@pytest.fixture(scope="module")
def folders(tiny, tmp_path_factory):
    """{program: a run folder with every kind of file}."""
    made = tmp_path_factory.mktemp("runs")
    status = status_of(run, [f"--data_dir={tiny}", "--nb_epochs=2", "--threads=1", f"--results_dir={made}", "--quiet"])
    assert status == 0
    logs = ("--ndi", "--save_logs", "--save_df", "--save_BP_angle", "--log_interval=1", "--save_norm_r")
    assert status_of(main, [*tiny_main.TINY, *logs, f"--out_dir={made / 'main'}"]) == 0
    return {"run.py": next(path for path in made.iterdir() if path.name != "main"), "main.py": made / "main"}, logs


def damage(data, folder):
    """Do something to one file of a folder."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    path, kind = folder / data.draw(st.sampled_from(names)), data.draw(st.sampled_from(KINDS))
    content = path.read_bytes()
    if kind == "truncate":
        path.write_bytes(content[: data.draw(st.integers(0, max(len(content) - 1, 0)))])
    elif kind == "flip" and content:
        place, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind in ("delete", "folder", "link", "pipe"):
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        if kind == "folder":
            path.mkdir()
        if kind == "link":
            path.symlink_to("nowhere" if data.draw(st.booleans()) else path.name)
    elif kind == "swap":
        other = folder / data.draw(st.sampled_from(names))
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif kind == "append":
        path.write_bytes(content + data.draw(st.binary(max_size=20)))
    elif kind == "text":
        path.write_text(data.draw(st.sampled_from(TEXTS)))
    else:
        path = folder / data.draw(st.sampled_from(FOREIGN))
        if not path.is_dir():
            path.write_bytes(data.draw(st.binary(max_size=30)))


def argv_of_run(tiny, here):
    return [f"--data_dir={tiny}", "--threads=1", f"--results_dir={here}", "--quiet"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """(words of run_seed_robustness.py, the run folder of its only seed)."""
    words = [
        "--config_module=configs.toy_experiments.config_fig1D", "--nb_seeds=1", "--regression", "--epochs=1",
        "--epochs_fb=1", "--num_train=20", "--num_val=10", "--num_test=10", "--batch_size=10", "--tmax_di=20",
        "--threads=1",
    ]  # fmt: skip
    place = tmp_path_factory.mktemp("swept")
    options, overrides = run_config.split(
        run_config.Parser(prog="x"), run_seed_robustness.Options, [*words, f"--out_dir={place}"]
    )
    (job,) = run_seed_robustness.SeedSweep(options, overrides).runs
    seed = [] if getattr(job, "seed", None) is None else [f"--random_seed={job.seed}"]
    assert status_of(main, [*job.argv, *seed, f"--out_dir={job.folder}", "--quiet"]) in (0, 3)
    return words, job.folder


@seed(6)
@settings(FUZZ, max_examples=max(COUNT // 4, 1))
@given(data=st.data())
def test_damaged_runs_of_a_sweep(swept, data):
    """Its table is that of a sound run, or the run is named and why."""
    words, whole = swept

    def run_all(runs, folder, ended, *how, **more):
        for job in runs:
            ended(job, None if is_over(job) else "fails")

    with place() as here, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["sweeps.script"], "run_all", run_all)
        folder = here / "default" / whole.name
        shutil.copytree(whole, folder)
        for _ in range(data.draw(st.integers(1, 3))):
            damage(data, folder)
        for more in ("--status", "--list", "--quiet"):
            status_of(run_seed_robustness, [*words, f"--out_dir={here}", more])


@seed(4)
@FUZZ
@given(data=st.data())
def test_damaged_run_folders(tiny, folders, data):
    (whole, logs), program = folders, data.draw(st.sampled_from(["run.py", "main.py"]))
    with place() as here:
        folder = here / whole[program].name
        shutil.copytree(whole[program], folder)
        for _ in range(data.draw(st.integers(1, 3))):
            damage(data, folder)
        if program == "run.py":
            script, argv = run, argv_of_run(tiny, here)
            epochs = f"--nb_epochs={data.draw(st.integers(1, 3))}"
        else:
            script, argv = main, [*tiny_main.TINY, *logs, f"--out_dir={folder}"]
            epochs = f"--epochs={data.draw(st.integers(1, 3))}"
        status_of(summarise_seeds, [str(folder)])
        status_of(tidy, [str(folder), "--output=t.csv", "--series=s.csv", "--pack=p.tar.gz"])
        status_of(report, [str(folder), "p.tar.gz"]) if data.draw(st.integers(0, 9)) == 0 else None
        if program == "run.py":
            status_of(list_seeds, ["1", "--status", *argv_of_run(tiny, here)])
        status_of(learning_curves, [str(folder), "--output=curves.png"]) if data.draw(st.integers(0, 9)) == 0 else None
        status_of(
            script, [*argv, epochs, data.draw(st.sampled_from(["--load", "--load_or_start", "--overwrite", "--quiet"]))]
        )
