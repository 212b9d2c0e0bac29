"""campaign.py and the lists of the sweeps: what they print is what they run, and looking changes nothing."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import campaign
import list_seeds
import main
import run_pipeline
import run_seed_robustness
from core.files import FileError
from tables import published
from tables.published import COLUMNS, read_cells
from tests.runs_for_tests import tree

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "--task=MNIST,MNIST square 1",
    "--method=BP",
    "--table=dfc,gait",
    "--nb_seeds=2",
    "--epochs=1",
    "--train_samples=200",
]


def run(place, *words, **further):
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=120, **further)


def bits(folder):
    """{name: bytes} of the numbers in a run folder, what time has part in excepted."""
    found = {path.name: path.read_bytes() for path in folder.glob("*L*.npy")}
    rows = (folder / "metrics.csv").read_text().splitlines()
    return found | {"metrics.csv": [row.rpartition(",")[0] for row in rows]}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder where a small campaign of both systems was run by the list that it prints."""
    place = tmp_path_factory.mktemp("campaign")
    words = [sys.executable, str(ROOT / "campaign.py"), *SMALL]
    before = tree(place)
    listed = run(place, *words, "--list")
    assert (listed.returncode, listed.stderr, tree(place)) == (0, "", before)
    lines = listed.stdout.splitlines()
    assert [shlex.split(line)[1] for line in lines] == [str(ROOT / "main.py")] * 2 + [str(ROOT / "run.py")] * 2
    assert run(place, "bash", "-e", input=listed.stdout).returncode == 0
    return place, words


def test_a_list_run_by_a_shell_is_the_campaign(done, tmp_path):
    place, words = done
    first = tree(place)
    again = run(place, *words)
    assert again.returncode == 0 and again.stdout.splitlines()[-1].startswith("2 of 2 cells complete; runs: finished 4")
    assert {path: seen for path, seen in tree(place).items() if path in first and path.is_file()} == {
        path: seen for path, seen in first.items() if path.is_file()
    }
    assert run(place, *words, "--list").stdout == ""
    assert run(place, *words, "--status").stdout == again.stdout
    elsewhere = run(tmp_path, *words, "--jobs=2")
    assert elsewhere.returncode == 0 and elsewhere.stdout.splitlines()[-3:] == again.stdout.splitlines()[-3:]
    folders = sorted(path.parent.relative_to(place) for path in place.rglob("DONE"))
    assert [str(folder.parent) for folder in folders] == ["logs/seed_robustness/mnist_bp_200samples"] * 2 + [
        "results"
    ] * 2
    for folder in folders:
        assert bits(place / folder) == bits(tmp_path / folder)


def test_the_sweeps_that_the_page_names_find_the_runs(done):
    """What report.py shows as the command of a cell is shell for the suite's folder; it has nothing to do here."""
    place, _ = done
    options = campaign.Options(nb_seeds=2, epochs=1, train_samples=200)
    for cell in campaign.chosen(
        read_cells(), campaign.Options(task="MNIST,MNIST square 1", method="BP", table="dfc,gait")
    ):
        program, *words = campaign.words_of(cell, options)
        words = (
            [str(ROOT / program), *words] if program != "python" else [sys.executable, str(ROOT / words[0]), *words[1:]]
        )
        looked = run(place, *words, "--status")
        assert looked.stdout.splitlines()[-1] == "finished 2, running 0, waiting 0, failed 0"
        assert run(place, *words, "--list").stdout == ""


def test_every_cell_with_a_command_has_jobs_and_they_share_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders, cells = set(), read_cells()
    for options in (campaign.Options(), campaign.Options(precision="float64"), campaign.Options(train_samples=100)):
        for cell in cells:
            jobs = campaign.jobs_of(cell, options)
            assert len(jobs) == (cell.n if cell.command else 0)
            assert {job.epochs for job in jobs} <= {cell.epochs}
            assert not folders & {job.folder for job in jobs}
            folders |= {job.folder for job in jobs}
    assert list(tmp_path.iterdir()) == []


def test_the_cells_are_those_of_the_papers():
    cells = read_cells()
    dfc = [cell for cell in cells if cell.table == "dfc"]
    # There are 8 methods and 4 tasks.
    assert len({(cell.task, cell.method) for cell in dfc}) == 32
    known = {cell.method: (cell.mean, cell.std) for cell in dfc if cell.task == "MNIST"}
    assert known["BP"] == (2.08, 0.15) and known["DFA"] == (2.69, 0.11) and known["DFC-SSA fixed"] == (2.46, 0.11)
    assert all(cell.mean is None for cell in dfc if cell.task in ("MNIST train", "MNIST autoencoder"))
    assert all(cell.mean is None for cell in cells if cell.table == "gait")
    assert {cell.epochs for cell in cells if cell.task == "MNIST autoencoder"} == {25}
    costs = [cell.seconds * cell.epochs for cell in campaign.chosen(cells, campaign.Options())]
    assert costs == sorted(costs)


def test_the_eight_cells_of_strong_dfc_are_those_of_its_configs(capsys, tmp_path, monkeypatch):
    """docs/published/strong_dfc.md, section 10: each number stands with the command that makes it,
    here a config's docstring."""
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in read_cells() if cell.table == "strong_dfc"]
    modules = {re.search(r"--config_module=(configs\.strong_dfc\.\w+) ", cell.command)[1]: cell for cell in cells}
    assert len(modules) == 8 == len(list((ROOT / "configs" / "strong_dfc").glob("*mnist*.py")))
    for module, cell in modules.items():
        assert f" {cell.mean:g} %" in importlib.import_module(module).__doc__
        rules = {"BP": "BP", "DFC": "DFC", "Strong-DFC": "Strong-DFC", "Strong-DFC 2-phase": "Strong-DFC-2phase"}
        data = {"MNIST": "mnist", "Fashion-MNIST": "fashion_mnist"}
        for precision in ("float32", "float64"):
            for job in campaign.jobs_of(cell, campaign.Options(precision=precision)):
                settings = main.parse(job.argv)
                assert (settings.rule.name, settings.task.dataset) == (rules[cell.method], data[cell.task])
                # the two commands of BP were published in float32, which nothing turns off
                expected = "float32" if cell.method == "BP" else precision
                assert (settings.flags["protocol"], settings.machine.precision) == ("strong2022", expected)
    assert campaign.main(["--table=strong_dfc", "--method=Strong-DFC", "--status"]) == 0
    assert capsys.readouterr().out.endswith(
        "0 of 2 cells complete; runs: finished 0, running 0, waiting 10, failed 0\n"
    )
    assert campaign.main(["--table=strong_dfc", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 40
    assert list(tmp_path.iterdir()) == []


GOOD = dict(
    zip(COLUMNS, ["t", "MNIST", "BP", "test accuracy %, last epoch", "", "", "", "1", "", "run.py", ""], strict=True)
)


@pytest.mark.parametrize(
    "change, text",
    [
        ({"mean": "two"}, "line 2: mean 'two' is no number"),
        ({"std": "-1"}, "line 2: std must be a number of at least 0"),
        ({"std": "nan"}, "line 2: std must be a number of at least 0"),
        ({"epochs": ""}, "line 2: epochs must be a number of at least 1"),
        ({"quantity": "luck"}, "line 2: quantity 'luck' is not one of"),
        (
            {"command": "run_seed_robustness.py --config_module=configs.no"},
            "line 2: --config_module=configs.no: there is no such",
        ),
        ({"command": "run.py --gamma=7"}, "line 2: its options are refused"),
        ({"command": "rm -r x"}, "line 2: rm is neither run.py nor run_seed_robustness.py"),
    ],
)
def test_a_table_with_a_mistake_names_its_line(tmp_path, change, text):
    path = tmp_path / "tables.csv"
    path.write_text(",".join(COLUMNS) + "\n" + ",".join(f'"{value}"' for value in (GOOD | change).values()) + "\n")
    with pytest.raises(FileError, match=re.escape(text)):
        for cell in read_cells(path):
            campaign.jobs_of(cell, campaign.Options())


@pytest.mark.parametrize("text", ["", "a,b\n", ",".join(COLUMNS) + "\n1,2\n"])
def test_a_file_that_is_no_such_table_is_told(tmp_path, text):
    path = tmp_path / "tables.csv"
    path.write_text(text)
    with pytest.raises(FileError, match=r"tables\.csv"):
        read_cells(path)
    with pytest.raises(FileError, match="cannot read"):
        read_cells(tmp_path / "none.csv")


def test_mistakes_in_the_choice_are_one_sentence(capsys, monkeypatch, tmp_path):
    for words, text in (
        (["--method=luck"], "--method=luck: is not one of BP, "),
        (["--table=gait", "--method=DFA"], "--method=DFA: is not one of BP, BP regularised, GAIT, TP"),
        (["--list", "--status"], "--list: contradicts --status"),
    ):
        assert campaign.main(words) == 2
        assert text in capsys.readouterr().err
    broken = tmp_path / "tables.csv"
    broken.write_text("x\n")
    monkeypatch.setattr(campaign, "read_cells", lambda: published.read_cells(broken))
    assert campaign.main(["--list"]) == 2


def test_a_failed_and_a_diverged_run_are_told_and_stop_no_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cells = [
        published.Cell(
            "t", "x", name, "test accuracy %, last epoch", None, None, 1, 1, 1.0, f"run.py --nb_epochs=1 {words}", "", 2
        )
        for name, words in (("wild", "--learning_rate=1e30"), ("refused", "--batch_size=900"), ("good", ""))
    ]
    monkeypatch.setattr(campaign, "read_cells", lambda: cells)
    words = ["--train_samples=120", "--quiet"]
    assert campaign.main(words) == 1
    told = capsys.readouterr()
    assert "t, x, refused, seed 1 failed: --batch_size=900: must be in [1, 120]" in told.err
    assert told.out.splitlines()[-1] == "1 of 3 cells complete; runs: finished 1, running 0, waiting 0, failed 2"
    cells.pop(1)
    assert campaign.main(words) == 3


def test_every_sweep_lists_itself_without_a_trace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_seed_robustness.main(["--config_module=configs.configs_mnist.mnist_bp", "--nb_seeds=3", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    seeds = run_seed_robustness.draw_seeds(3, 0)
    assert [f"--random_seed={seed}" in shlex.split(line) for line, seed in zip(lines, seeds, strict=True)] == [True] * 3
    assert run_pipeline.main(["--folder=p q", "--config_module=configs.pipeline_configs.mnist", "--list"]) == 0
    folders = [shlex.split(line)[-3] for line in capsys.readouterr().out.splitlines()]
    assert len(folders) > 1 and all(folder.startswith("--out_dir=p q/") for folder in folders)
    assert run_pipeline.main(["--folder=p q", "--status"]) == 0
    assert run_pipeline.main(["--list"]) == 2
    assert "--list: needs --folder" in capsys.readouterr().err
    assert list_seeds.main(["1 3", "--algorithm=TP", "--status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["seed 1  waiting", "seed 3  waiting", "finished 0, running 0, waiting 2, failed 0"]
    assert list_seeds.main(["1"]) == 2 and "give --list or --status" in capsys.readouterr().err
    for words in (["1 x", "--list"], ["1", "--list", "--gamma=2"]):
        with pytest.raises(SystemExit) as refused:
            list_seeds.main(words)
        assert refused.value.code == 2
    assert list(tmp_path.iterdir()) == []
