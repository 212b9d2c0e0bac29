"""tidy.py: tables and archives of made-up runs, numbers worked out by hand."""

import csv
import json
import tarfile

import pytest

import tidy
from tests.runs_for_tests import make_run, tree


@pytest.fixture
def runs(tmp_path):
    """A run of each program, one below the other's folder of runs."""
    make_run(tmp_path / "logs" / "fmnist_ssa" / "seed_1")
    make_run(tmp_path / "results" / "FMNIST_GAIT", "run.py", seed=2)
    return tmp_path


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_both_systems_share_one_vocabulary(runs, capsys):
    before = tree(runs)
    assert tidy.main([str(runs / "logs"), str(runs / "results"), "--output", str(runs / "runs.csv")]) == 0
    ssa, gait = read(runs / "runs.csv")
    assert (ssa["program"], ssa["rule"], ssa["dataset"], ssa["seed"]) == ("main.py", "DFC-SSA", "FMNIST", "1")
    assert (gait["program"], gait["rule"], gait["dataset"], gait["seed"]) == ("run.py", "GAIT", "FMNIST", "2")
    assert (ssa["precision"], gait["precision"]) == ("float32", "float64")
    assert (ssa["outcome"], ssa["epochs"]) == ("finished", "2")
    assert (float(ssa["train_acc"]), float(ssa["val_loss"]), float(gait["train_acc"])) == (0.875, 0.8, 0.75)
    # validation accuracy and loss are both best in epoch 1
    assert (float(ssa["test_acc_val_best"]), float(ssa["test_loss_val_best"])) == (0.5, 0.7)
    assert ssa["epoch_acc_val_best"] == "1"
    # There is no validation set.
    assert gait["val_acc"] == gait["test_acc_val_best"] == ""
    assert (float(ssa["seconds"]), float(ssa["seconds_per_epoch"]), float(gait["seconds_per_epoch"])) == (5.5, 2.0, 4.0)
    assert (ssa["option_network_type"], ssa["option_ndi"]) == ("DFC", "TRUE")
    assert (gait["option_ndi"], gait["option_algorithm"]) == ("", "GAIT")
    assert capsys.readouterr().out == "2 runs\n"
    assert {path: seen for path, seen in tree(runs).items() if path in before and path != runs} == {
        path: seen for path, seen in before.items() if path != runs
    }


def test_the_series_are_one_row_per_number_and_numbers_are_strict(runs):
    blown_up = "epoch,batch,loss_train,acc_train\n1,0,nan,inf\n"
    make_run(runs / "logs" / "x", seed=5, done={"outcome": "diverged", "epoch": 2}, rows=blown_up)
    (runs / "logs" / "fmnist_ssa" / "seed_1" / "ndi_angles.csv").write_text(",0,1\n1,10.5,20\n2,nan,30\n")
    assert tidy.main([str(runs / "logs"), "--output", str(runs / "r.csv"), "--series", str(runs / "s.csv")]) == 0
    rows = read(runs / "s.csv")
    assert list(rows[0]) == ["run", "seed", "epoch", "batch", "quantity", "value"]
    value = {(row["seed"], row["epoch"], row["batch"], row["quantity"]): row["value"] for row in rows}
    assert (value["1", "2", "0", "test_acc"], value["1", "", "1", "ndi_angles_0"]) == ("0.625", "10.5")
    assert value["1", "", "2", "ndi_angles_0"] == ""
    assert value["5", "1", "0", "train_loss"] == value["5", "1", "0", "train_acc"] == ""
    text = (runs / "s.csv").read_text() + (runs / "r.csv").read_text()
    assert "nan" not in text and "inf" not in text and "None" not in text


def test_an_archive_is_read_as_its_folders_are_and_names_no_machine(runs):
    make_run(runs / "logs" / "unfinished", seed=3, done=None)
    (runs / "logs" / "fmnist_ssa" / "seed_1" / "checkpoint.npz").write_bytes(b"weights")
    places = [str(runs / "logs"), str(runs / "results")]
    assert tidy.main([*places, "--pack", str(runs / "new" / "p.tar.gz"), "--output", str(runs / "a.csv")]) == 0
    packed = str(runs / "new" / "p.tar.gz")
    with tarfile.open(packed) as archive:
        texts = {member.name: archive.extractfile(member).read().decode() for member in archive}
    ends = ("config.json", "DONE", "metrics.csv")
    assert set(texts) == {f"{place}/{end}" for place in ("fmnist_ssa/seed_1", "results/FMNIST_GAIT") for end in ends}
    config = json.loads(texts["fmnist_ssa/seed_1/config.json"])
    assert config["command"] == ["main.py", "--out_dir=seed_1"]
    assert "someone" not in "".join(texts.values()) and str(runs) not in "".join(texts.values())
    assert tidy.main([packed, "--output", str(runs / "b.csv"), "--pack", str(runs / "again.tar.gz")]) == 0
    assert (runs / "again.tar.gz").read_bytes() == (runs / "new" / "p.tar.gz").read_bytes()
    same = [name for name in read(runs / "b.csv")[0] if name not in ("run", "host")]
    assert [[row[name] for name in same] for row in read(runs / "b.csv")] == [
        [row[name] for name in same] for row in read(runs / "a.csv") if row["outcome"] == "finished"
    ]
    # a run that is in both counts once
    assert tidy.main([packed, *places, "--output", str(runs / "c.csv")]) == 0
    assert len(read(runs / "c.csv")) == 3


def test_of_two_runs_of_one_setting_and_seed_the_longer_one_counts(runs, capsys):
    moved = make_run(runs / "elsewhere", time=0, rows="epoch,batch,acc_val\n1,0,0.5\n", done=None)
    config = json.loads((moved / "config.json").read_text())
    original = json.loads((runs / "logs" / "fmnist_ssa" / "seed_1" / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"settings": original["settings"], "time": "later"}))
    assert tidy.main([str(moved), str(runs / "logs"), "--output", str(runs / "runs.csv")]) == 0
    assert "are the same setting and seed: the one with more epochs counts" in capsys.readouterr().err
    assert [row["epochs"] for row in read(runs / "runs.csv")] == ["2"]


def test_what_is_damaged_or_no_run_is_named_and_left_out(runs, capsys):
    for name, file, text in (("a", "config.json", "{"), ("b", "DONE", "[]"), ("c", "metrics.csv", "epoch,x\n1,two\n")):
        (make_run(runs / "bad" / name, seed=7) / file).write_text(text)
    (runs / "empty").mkdir()
    assert (
        tidy.main([str(runs / name) for name in ("logs", "bad", "empty")] + ["--output", str(runs / "runs.csv")]) == 0
    )
    notes = capsys.readouterr().err.splitlines()
    for text in ("a/config.json is damaged", "b/DONE is damaged", "c/metrics.csv is damaged", "empty holds no run"):
        assert sum(text in note for note in notes) == 1
    assert len(notes) == 4 and len(read(runs / "runs.csv")) == 1


@pytest.mark.parametrize(
    "words, text",
    [
        (["nowhere"], "nowhere is not there"),
        (["empty"], "no run in empty"),
        (["file"], "file is neither a folder nor an archive"),
        (["file.tar.gz"], "cannot read file.tar.gz"),
        (["logs", "--pack=runs.zip"], "--pack=runs.zip: the name must end in .tar.gz"),
        (["logs", "--output=no/such/runs.csv"], "cannot write no/such/runs.csv"),
    ],
)
def test_mistakes_are_one_sentence(runs, monkeypatch, capsys, words, text):
    monkeypatch.chdir(runs)
    (runs / "empty").mkdir()
    (runs / "file").write_text("")
    (runs / "file.tar.gz").write_text("no archive")
    assert tidy.main(words) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert text in message and message.startswith("tidy.py: ")


@pytest.mark.parametrize("left", ["epoch,batch,acc_test\n1,0,0.5\n", False])
def test_a_finished_run_whose_last_measurements_are_lost_is_named_and_left_out(runs, capsys, left):
    make_run(runs / "logs" / "cut", seed=4, rows=left)
    assert tidy.main([str(runs / "logs"), "--output", str(runs / "runs.csv")]) == 0
    (note,) = capsys.readouterr().err.splitlines()
    assert "cut/metrics.csv is damaged or gone: it ends with epoch" in note and len(read(runs / "runs.csv")) == 1


def test_a_run_without_its_config_is_named(runs, capsys):
    (make_run(runs / "logs" / "lost", seed=4) / "config.json").unlink()
    assert tidy.main([str(runs / "logs"), "--output", str(runs / "runs.csv")]) == 0
    assert capsys.readouterr().err == f"tidy.py: note: left out: {runs}/logs/lost has no config.json\n"


def test_links_lead_to_runs_that_count_once(runs, monkeypatch, capsys):
    """A link to a run elsewhere, one to a run that is read anyway, and one that leads back to its own folder."""
    make_run(runs / "elsewhere" / "seed_9", seed=9)
    (runs / "logs" / "another").symlink_to(runs / "elsewhere")
    (runs / "logs" / "a_latest").symlink_to(runs / "logs" / "fmnist_ssa" / "seed_1")
    (runs / "logs" / "round").symlink_to(runs / "logs")
    monkeypatch.chdir(runs)
    assert tidy.main(["logs"]) == 0
    assert capsys.readouterr().err == ""
    assert sorted(row["run"] for row in read(runs / "runs.csv")) == ["logs/another/seed_9", "logs/fmnist_ssa/seed_1"]


def test_an_archive_does_not_depend_on_how_its_folders_are_named(runs, monkeypatch):
    place = runs / "results" / "FMNIST_GAIT"
    for number, (start, name) in enumerate([(runs, str(place)), (place, "."), (place.parent, "FMNIST_GAIT")]):
        monkeypatch.chdir(start)
        assert tidy.main([name, f"--pack={runs}/{number}.tar.gz", f"--output={runs}/runs.csv"]) == 0
    assert (runs / "0.tar.gz").read_bytes() == (runs / "1.tar.gz").read_bytes() == (runs / "2.tar.gz").read_bytes()
    with tarfile.open(runs / "0.tar.gz") as archive:
        assert "results/FMNIST_GAIT/DONE" in archive.getnames()


def test_seconds_per_epoch_of_measurements_within_epochs(runs):
    """Four batches per epoch, measured after the second of each: half an epoch, then one and a half."""
    rows = "epoch,batch,test_acc,seconds\n0,0,0.1,0.0\n0,2,0.2,3.0\n1,2,0.3,9.0\n"
    make_run(runs / "within", "run.py", 6, rows=rows, eval_interval=2, train_samples=20, batch_size=6)
    assert tidy.main([str(runs / "within"), "--output", str(runs / "runs.csv")]) == 0
    (row,) = read(runs / "runs.csv")
    assert float(row["seconds_per_epoch"]) == 6.0
