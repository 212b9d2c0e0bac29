"""--load, --load_or_start and --overwrite of run.py: a run goes on as if it had never stopped, or starts again."""

import importlib.util
import sys

import pytest

from tests.faults.tiny_runs import checkpoint, complaint, contents, finish, in_process, only, read_metrics, results

VARIANTS = {
    "backpropagation": ["--learning_rate=0.01"],
    "gradient descent": ["--learning_rate=0.1", "--optimizer=SGD"],
    "centred RMSprop": ["--algorithm=GAIT", "--orthogonal_reg=0.1", "--optimizer=RMSprop"],
    "target propagation": ["--algorithm=TP", "--orthogonal_reg=1000", "--learning_rate=0.001"],
    "GAIT-prop": ["--algorithm=GAIT", "--orthogonal_init", "--orthogonal_reg=0.1", "--threads=2"],
    "as published": ["--algorithm=GAIT", "--target_form=absolute", "--linear"],
    "often measured": ["--eval_interval=2", "--batch_size=14"],
    "single precision": ["--precision=float32", "--learning_rate=0.01"],
    "tower": ["--tower", "--dataset=FMNIST", "--nb_epochs=3", "--batch_size=120"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_loading_with_more_epochs_equals_the_longer_run_bit_for_bit(variant, tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    settings = ["--nb_epochs=4", *VARIANTS[variant]]
    assert call(*settings) == 0
    assert call(*settings, "--nb_epochs=1", f"--results_dir={tmp_path / 'parts'}") == 0
    assert call(*settings, f"--results_dir={tmp_path / 'parts'}", "--load") == 0
    whole, parts = only(tmp_path / "results"), only(tmp_path / "parts")
    assert whole.name == parts.name
    assert results(whole) == results(parts)
    assert checkpoint(whole) == checkpoint(parts)


def test_loading_a_run_that_has_its_epochs_changes_no_result(tmp_path, monkeypatch, capsys):
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=2") == 0
    before = results(only(tmp_path / "results"))
    capsys.readouterr()
    assert call("--nb_epochs=2", "--load") == 0
    assert "finished 2 epochs" in capsys.readouterr().out
    assert results(only(tmp_path / "results")) == before


@pytest.mark.parametrize(
    ("fault", "begun"), [("step 13 SIGINT", 2), ("step 20 SIGINT", 2), ("step 21 SIGKILL", 2), ("step 21 SIGINT", 3)]
)
@pytest.mark.parametrize("interval", [(), ("--eval_interval=4",)])
def test_fewer_epochs_than_were_begun_are_refused(fault, begun, interval, tmp_path, monkeypatch, capsys):
    """Weights and measurements would be those of a longer run."""
    call = in_process(tmp_path, monkeypatch)
    words = ["--batch_size=12", "--threads=1", "--quiet", *interval]
    place = [f"--data_dir={tmp_path / 'data'}", f"--results_dir={tmp_path / 'parts'}"]
    finish(*words, *place, "--nb_epochs=5", fault=fault)
    folder = only(tmp_path / "parts")
    before = contents(folder)
    for epochs in range(1, begun):
        assert call(*words, *place, f"--nb_epochs={epochs}", "--load") == 2
        sentence = complaint(capsys.readouterr().err)
        assert f"--nb_epochs={epochs}: {folder} holds a run that has begun epoch {begun} already" in sentence
        assert f"--nb_epochs={begun}" in sentence and "--overwrite" in sentence and contents(folder) == before
    assert call(*words, *place, f"--nb_epochs={begun}", "--load") == 0
    assert call(*words, f"--nb_epochs={begun}") == 0
    assert results(folder) == results(only(tmp_path / "results"))


def test_overwriting_starts_again_and_keeps_the_notes_beside(tmp_path, monkeypatch):
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1") == 0
    folder = only(tmp_path / "results")
    once = results(folder)
    (folder / "notes.md").write_text("mine")
    assert call("--nb_epochs=2") == 2
    assert call("--nb_epochs=2", "--overwrite") == 0
    assert results(folder) != once and len(read_metrics(folder)["epoch"]) == 3
    assert (folder / "notes.md").read_text() == "mine"
    assert call("--nb_epochs=1", "--overwrite") == 0
    assert results(folder) == once


def test_load_or_start_starts_then_goes_on_then_has_nothing_to_do(tmp_path, monkeypatch, capsys):
    """What a sweep repeats until everything is done."""
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=3", f"--results_dir={tmp_path / 'whole'}") == 0
    assert call("--nb_epochs=1", "--load_or_start") == 0
    assert call("--nb_epochs=3", "--load_or_start") == 0
    folder = only(tmp_path / "results")
    assert results(folder) == results(only(tmp_path / "whole"))
    capsys.readouterr()
    assert call("--nb_epochs=3", "--load_or_start") == 0
    assert "finished 3 epochs" in capsys.readouterr().out
    assert results(folder) == results(only(tmp_path / "whole"))


def test_going_on_with_another_number_of_threads_is_told(tmp_path, monkeypatch, capsys):
    """The same bits need the same order of sums; nothing is wrong, but somebody may wonder."""
    call = in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=1", "--threads=1") == 0
    assert call("--nb_epochs=2", "--threads=1", "--load") == 0
    assert "note:" not in capsys.readouterr().out
    assert call("--nb_epochs=3", "--threads=2", "--load") == 0
    assert "note: threads differ" in capsys.readouterr().out


def test_threads_without_threadpoolctl_are_refused(tmp_path, monkeypatch, capsys):
    """Two layers of threads would fight; the default is then one thread and needs nothing."""
    call = in_process(tmp_path, monkeypatch)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "threadpoolctl" else find_spec(name))
    assert call("--nb_epochs=1", "--threads=2") == 2
    assert "pip install threadpoolctl" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert call("--nb_epochs=1") == 0
