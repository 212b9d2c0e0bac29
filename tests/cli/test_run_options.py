"""Every option of run.py does something, is explained by --help, and no two settings share a folder."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import run
from rules import RULES
from tests.faults.tiny_runs import ROOT, in_process

RECORDS = (run.Options, *(rule.Options for rule in RULES.values()))
OPTIONS = {field.name: field for record in RECORDS for field in dataclasses.fields(record)}
GAIT = ["--algorithm=GAIT", "--learning_rate=0.01"]
TP = ["--algorithm=TP", "--orthogonal_init", "--orthogonal_reg=0.5"]
# option: (command line without it, the option, what it must change); "name" of the folder, "numbers" computed,
# "columns" of metrics.csv and no number, "files": names, shapes and types of the arrays, "config": machine part of
# config.json, "out": what is printed, "place", "status": of the exit, "nothing": there is no run
EFFECTS = {
    "algorithm": ([], "--algorithm=TP", "name numbers"),
    "dataset": ([], "--dataset=KMNIST", "name numbers"),
    "seed": ([], "--seed=2", "name numbers"),
    "seeds": ([], "--seeds=2", "name numbers"),
    "nb_epochs": ([], "--nb_epochs=2", "numbers"),
    "optimizer": ([], "--optimizer=SGD", "name numbers"),
    "learning_rate": ([], "--learning_rate=0.01", "name numbers"),
    "unit_rows": (["--orthogonal_reg=0.1"], "--unit_rows", "name numbers"),
    "orthogonal_reg": (["--orthogonal_init"], "--orthogonal_reg=0.1", "name numbers"),
    "batch_size": ([], "--batch_size=30", "name numbers"),
    "train_samples": ([], "--train_samples=60", "name numbers"),
    "nb_layers": ([], "--nb_layers=2", "name numbers files"),
    "tower": (["--dataset=FMNIST"], "--tower", "name numbers files"),
    "linear": ([], "--linear", "name numbers"),
    "orthogonal_init": (["--orthogonal_reg=0.1"], "--orthogonal_init", "name numbers"),
    "init": ([], "--init=xavier", "name numbers"),
    "precision": ([], "--precision=float32", "name numbers files"),
    "backend": ([], "--backend=cupy", "status"),
    "device": ([], "--device=1", "status"),
    "threads": (["--threads=1"], "--threads=2", "config"),
    "solver": (TP, "--solver=direct", "name numbers"),
    "eval_interval": (["--batch_size=30"], "--eval_interval=1", "name numbers"),
    "alignment": ([], "--alignment", "name columns"),
    "data_dir": ([], "--data_dir=/nowhere", "status"),
    "results_dir": ([], "--results_dir={elsewhere}", "place"),
    "load": (["before"], "--load", "status"),
    "load_or_start": (["before"], "--load_or_start", "status"),
    "overwrite": (["before"], "--overwrite", "status"),
    "quiet": ([], "--quiet", "out"),
    "dry_run": ([], "--dry_run", "nothing"),
    "gamma": (GAIT, "--gamma=0.9", "name numbers"),
    "target_form": (GAIT, "--target_form=absolute", "name numbers"),
}


def test_every_option_has_its_effect_below():
    """Fails for a new option until somebody says, in EFFECTS, what it changes."""
    assert set(OPTIONS) == set(EFFECTS)


def observe(folder, status, out):
    """What can be seen of a run: {aspect: anything comparable}."""
    found = [path.parent for path in sorted(folder.glob("*/*/DONE"))]
    seen = {"status": status, "out": re.sub(r"seconds \S+", "", out).replace(str(folder), "")}
    if len(found) == 1:
        arrays = {path.name: np.load(path) for path in found[0].glob("*.npy")}
        series = {path.name: np.loadtxt(path, ndmin=1) for path in found[0].glob("*.txt")}
        config = json.loads((found[0] / "config.json").read_text())
        seen["place"], seen["name"] = found[0].parent.name, found[0].name
        seen["files"] = {name: (array.shape, array.dtype) for name, array in arrays.items()}
        seen["numbers"] = {name: array.tobytes() for name, array in (arrays | series).items()}
        seen["columns"] = (found[0] / "metrics.csv").read_text().splitlines()[0]
        seen["config"] = [config["device"], config["threads"]]
    return seen


@pytest.mark.parametrize("name", EFFECTS)
def test_option_changes_what_it_is_for(name, tmp_path, monkeypatch, capsys):
    # This is a machine without it.
    monkeypatch.setitem(sys.modules, "cupy", None)
    base, option, aspects = EFFECTS[name]
    call = in_process(tmp_path, monkeypatch)
    options = ["--nb_epochs=1", "--batch_size=60", *(word for word in base if word != "before")]
    seen = []
    for more in ([], [option.format(elsewhere=tmp_path / "elsewhere")]):
        if "before" in base:
            assert call(*options, "--overwrite") == 0
        capsys.readouterr()
        status = call(*options, *more)
        seen.append(observe(tmp_path, status, capsys.readouterr().out))
        if "before" not in base:
            shutil.rmtree(tmp_path / "results", ignore_errors=True)
    without, with_it = seen
    if "status" in aspects:
        assert {without["status"], with_it["status"]} == {0, 2}
        return
    assert (without["status"], with_it["status"]) == (0, 0)
    if aspects == "nothing":
        assert set(without) > set(with_it) == {"status", "out"}
        return
    # the name tells apart what the numbers depend on, and nothing else
    assert ("name" in aspects) == (without["name"] != with_it["name"])
    for aspect in aspects.split():
        assert without[aspect] != with_it[aspect], aspect
    if "columns" in aspects:
        assert without["numbers"] == with_it["numbers"]
    if "numbers" not in aspects:
        assert without["files"] == with_it["files"]


# ---- folder names

FREE = (
    "nb_epochs", "backend", "device", "threads", "data_dir", "results_dir",
    "load", "load_or_start", "overwrite", "quiet",
    # It is a list of runs, of one seed each.
    "seeds",
    "dry_run",
)  # fmt: skip


def identity(options, rule_options):
    """All that decides the numbers of a run, in the spec's words rather than in the program's."""
    values = dataclasses.asdict(options) | dataclasses.asdict(rule_options)
    orthogonal = values.pop("orthogonal_init") or values["orthogonal_reg"] == 0
    if values["init"] == "auto":
        values["init"] = "orthogonal" if orthogonal else "xavier"
    return {name: value for name, value in values.items() if name not in FREE}


def legal_values(field):
    """A strategy for the values of one option, few of them so that settings come near each other."""
    if field.metadata["choices"]:
        return st.sampled_from(field.metadata["choices"])
    if isinstance(field.default, bool):
        return st.booleans()
    if isinstance(field.default, int):
        return st.sampled_from([1, 2, 10, 60, 100, 600, field.default])
    bounds = {"gamma": (1e-9, 0.999)}.get(field.name, (1e-9, 1e9))
    numbers = st.sampled_from([1e-5, 1e-4, 1e-3, 0.1, 0.25, field.default])
    return numbers | st.floats(*bounds, allow_nan=False)


@st.composite
def two_settings(draw):
    """Two legal settings; the second differs from the first in any of the options, but often in few."""
    pair, own = [], {field.name for field in dataclasses.fields(run.Options)}
    values = {name: draw(legal_values(field)) for name, field in OPTIONS.items() if name not in FREE}
    changed = {
        name: draw(legal_values(OPTIONS[name])) for name in draw(st.sets(st.sampled_from(sorted(values)), max_size=4))
    }
    for chosen in (values, values | changed):
        if chosen["init"] == "xavier":
            chosen = {**chosen, "orthogonal_init": False}
        rule = RULES[chosen["algorithm"]]
        rule_options = rule.Options(**{field.name: chosen[field.name] for field in dataclasses.fields(rule.Options)})
        pair.append((run.Options(**{name: value for name, value in chosen.items() if name in own}), rule_options))
    return pair


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(two_settings())
def test_no_two_settings_share_a_folder(pair):
    """A run must never be taken for, or overwrite, one of other settings."""
    first, second = pair
    if run.run_name(*first) == run.run_name(*second):
        assert identity(*first) == identity(*second)
    assert re.fullmatch(r"[A-Za-z0-9._+-]+", run.run_name(*first))


PARSED = {
    "": "MNIST_BP_0.0OrthoReg_1Seed_0.0001LR_1L",
    "--learning_rate=0.00001 --nb_layers=4": "MNIST_BP_0.0OrthoReg_1Seed_1e-05LR_4L",
    "--orthogonal_reg=1 --unit_rows": "MNIST_BP_1.0OrthoReg_1Seed_0.0001LR_1L_UnitRows",
    "--orthogonal_reg=1000": "MNIST_BP_1000.0OrthoReg_1Seed_0.0001LR_1L",
    "--orthogonal_init": "MNIST_BP_OrthoInit_0.0OrthoReg_1Seed_0.0001LR_1L",
    "--algorithm=TP --linear --seed=12": "MNIST_TP_Linear_0.0OrthoReg_12Seed_0.0001LR_1L",
    "--algorithm=GAIT --tower --nb_layers=4": "MNIST_GAIT_0.0OrthoReg_1Seed_0.0001LR_4TOWER",
    "--dataset=KMNIST --linear --orthogonal_init": "KMNIST_BP_Linear_OrthoInit_0.0OrthoReg_1Seed_0.0001LR_1L",
    "--nb_epochs=7 --threads=2 --quiet --results_dir=x": "MNIST_BP_0.0OrthoReg_1Seed_0.0001LR_1L",
}


@pytest.mark.parametrize("line", PARSED)
def test_published_options_give_the_published_name_and_nothing_more(line):
    assert run.run_name(*run.parse(line.split())) == PARSED[line]


# an empty list of seeds is refused
@pytest.mark.parametrize(
    "name", [name for name, (_, _, aspects) in EFFECTS.items() if "name" in aspects and name != "seeds"]
)
def test_settings_with_their_default_written_out_keep_their_name(name):
    """Old folders must be found again, whoever writes the default down."""
    default = OPTIONS[name].default
    base = ["--algorithm=GAIT"] if name in {field.name for field in dataclasses.fields(RULES["GAIT"].Options)} else []
    written = [] if default is False else [f"--{name}={default}"]
    assert run.run_name(*run.parse(base + written)) == run.run_name(*run.parse(base))


# ---- help


@pytest.fixture(scope="module")
def help_text():
    """(text of --help, seconds it took at best)."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "run.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        times.append(time.perf_counter() - start)
        assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, min(times)


@pytest.mark.parametrize("name", OPTIONS)
def test_help_tells_meaning_range_and_default(name, help_text):
    field = OPTIONS[name]
    _, *sections = re.split(r"^  (?=--)", help_text[0], flags=re.MULTILINE)
    (section,) = [" ".join(text.split()) for text in sections if re.match(rf"--{name}\b", text)]
    meaning = section.partition(" " if isinstance(field.default, bool) else "} " if "}" in section else field.name)[2]
    assert len(meaning.split()) >= 3, "the meaning"
    if field.metadata["bounds"]:
        assert f"in {field.metadata['bounds']}" in section
    if field.metadata["choices"]:
        assert "{" + ",".join(field.metadata["choices"]) + "}" in section
    # A flag is off by default.
    if not isinstance(field.default, bool):
        assert re.search(rf"\bdefault:? {re.escape(str(field.default))}", section)


def test_help_names_the_published_misspelling_and_every_rule_with_options(help_text):
    assert "--orthogona_reg" in help_text[0]
    for rule in RULES.values():
        assert not dataclasses.fields(rule.Options) or f"only with --algorithm={rule.name}" in help_text[0]


def test_help_comes_at_once(help_text):
    """0.4 s are meant, and 0.25 s measured; 1 s because slow or busy machines run this too.  It fails if a script
    begins to load images or look for a GPU before it knows what is asked."""
    assert help_text[1] <= 1.0


def test_options_may_stand_in_a_file(tmp_path, capsys):
    """As in a shell: quotes, several in a line, comments; what comes later on the command line wins."""
    file = tmp_path / "my options"
    file.write_text("--algorithm=GAIT --gamma=0.01  # the weight of the target\n\n# network\n--results_dir='a b'\n")
    options, own = run.parse([f"@{file}", "--seed=3"])
    assert (options.algorithm, own.gamma, options.results_dir, options.seed) == ("GAIT", 0.01, "a b", 3)
    assert run.parse([f"@{file}", "--gamma=0.02"])[1].gamma == 0.02
    file.write_text("--results_dir='a")
    for word, reason in ((f"@{file}", "No closing quotation"), ("@no file", "No such file or directory")):
        with pytest.raises(SystemExit) as refused:
            run.parse([word])
        assert refused.value.code == 2
        assert capsys.readouterr().err == f"run.py: {word}: cannot be read ({reason})\n"
