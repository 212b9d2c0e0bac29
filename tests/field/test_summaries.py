"""Tables and curves of whatever lies in a results folder: runs of both programs, some in their first epoch."""

import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import summarise_seeds
import tidy
from figures import learning_curves
from figures.runs import COMPARABLE, read_run, read_runs, read_series
from tests.faults import tiny_main, tiny_runs
from tests.field.test_fuzz import status_of

IMAGES = (
    "--dataset=mnist",
    "--output_activation=softmax",
    "--size_input=784",
    "--size_output=10",
    "--size_hidden=[12, 12]",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{name: folder}: two seeds of each program on images, one run of main.py on student-teacher, one that diverged."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        call = tiny_runs.in_process(place, patch)
        for seed in (1, 2):
            assert call("--nb_epochs=2", f"--seed={seed}", "--quiet", f"--results_dir={place / 'system 1'}") == 0
    found = dict(zip(("run 1", "run 2"), sorted((place / "system 1").iterdir()), strict=True))
    with pytest.MonkeyPatch.context() as patch:
        call = tiny_main.in_process(place, patch)
        for name, words in {
            "main 1": (*IMAGES, "--ndi", "--random_seed=1"),
            "main 2": (*IMAGES, "--ndi", "--random_seed=2"),
            "regression": ("--ndi",),
            "feedback": ("--ndi", "--train_only_feedback_parameters"),
        }.items():
            found[name] = place / name
            assert call(*words, f"--out_dir={found[name]}") == 0
        found["diverged"] = place / "diverged"
        assert call(*IMAGES, "--ndi", "--random_seed=3", "--lr=1e200", f"--out_dir={found['diverged']}") == 3
    return found


@pytest.fixture
def begun(runs, tmp_path):
    """A run of each program that is still in its first epoch, as its folder looks then."""
    made = {}
    for name in ("run 1", "main 1"):
        made[name] = tmp_path / f"begun {name}"
        made[name].mkdir()
        config = json.loads((runs[name] / "config.json").read_text())
        config["settings"]["seed" if "seed" in config["settings"] else "random_seed"] = 77
        (made[name] / "config.json").write_text(json.dumps(config))
    # what an interruption in the first epoch leaves
    (made["main 1"] / "metrics.csv").write_text("epoch,batch\n")
    return made


def curves(capsys, tmp_path, *folders, options=()):
    """(exit status, lines on stderr) of learning_curves.py."""
    status = learning_curves.main([*map(str, folders), f"--output={tmp_path / 'curves.png'}", *options])
    assert (tmp_path / "curves.png").exists() == (status == 0)
    return status, capsys.readouterr().err.splitlines()


def table(capsys, *folders):
    status = summarise_seeds.main([*map(str, folders)])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err.splitlines()


def test_names_of_both_programs_become_those_of_run(runs):
    run, main = read_run(runs["run 1"]), read_run(runs["main 1"])
    for each in (run, main):
        assert each.state == "finished" and each.settings["seed"] == 1 and 0 <= each.outcome["test_acc"] <= 1
        assert {"training_acc", "training_loss", "test_acc", "test_loss"} <= read_series(each, ()).keys()
    assert (run.settings["algorithm"], main.settings["algorithm"]) == ("BP", "DFC-SSA")
    assert COMPARABLE.keys() >= {"acc_test", "loss_train", "random_seed"}


@pytest.mark.parametrize("words, rule", [
    (["--network_type=BP", "--lr=2e-5"], "BP"), (["--network_type=DFA"], "DFA"), (["--grad_deltav_cont"], "DFC"),
    ([], "DFC-SS"), (["--ndi"], "DFC-SSA"), (["--network_type=DFC-SSA"], "DFC-SSA"),
])  # fmt: skip
def test_a_run_of_main_bears_the_name_of_its_rule(words, rule, tmp_path, monkeypatch):
    call = tiny_main.in_process(tmp_path, monkeypatch)
    assert call(*words, "--epochs=1") == 0
    assert read_run(tmp_path / "run").settings["algorithm"] == rule


def test_a_table_of_both_programs(runs, capsys):
    status, lines, err = table(capsys, *(runs[name] for name in ("run 1", "run 2", "main 1", "main 2")))
    assert (status, err, len(lines)) == (0, [], 3)
    assert lines[1].startswith("BP") and lines[2].startswith("DFC-SSA")
    last = [100 * read_series(read_run(runs[f"main {seed}"]), ())["test_acc"][-1] for seed in (1, 2)]
    assert f"{np.mean(last):.2f}" in lines[2] and f"{np.std(last, ddof=1):.2f}" in lines[2]
    # These are seeds and epochs.
    assert lines[2].split()[lines[2].split().index("2") :][:2] == ["2", "2"]


def test_what_has_no_accuracy_is_left_out_of_the_table_and_told(runs, begun, capsys):
    names = ("main 1", "regression", "feedback", "diverged")
    status, lines, err = table(capsys, *(runs[name] for name in names), *begun.values())
    assert (status, err) == (0, [])
    for name, word in (("regression", "accurac"), ("feedback", "accurac"), ("diverged", "diverged in epoch 1")):
        assert any(line.startswith(str(runs[name])) and word in line and "left out" in line for line in lines), name
    for folder in begun.values():
        assert any(line.startswith(str(folder)) and "unfinished" in line for line in lines)
    assert not any("damaged" in line for line in lines)
    status, lines, _ = table(capsys, runs["regression"])
    assert status == 1 and len(lines) == 3


def test_curves_of_both_programs(runs, tmp_path, capsys):
    found = read_runs([runs[name] for name in ("run 1", "run 2", "main 1", "main 2")])
    drawn, notes = learning_curves.picture(found, learning_curves.Options())
    assert notes == [] and len(drawn.axes) == 4
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert len(labels) == 2 and labels[0].startswith("BP") and labels[1].startswith("DFC-SSA")
    assert all(label.endswith("(2 seeds)") for label in labels)
    assert curves(capsys, tmp_path, *(run.path for run in found)) == (0, [])


def test_losses_alone_where_there_are_no_accuracies(runs, tmp_path, capsys):
    drawn, notes = learning_curves.picture(read_runs([runs["regression"], runs["main 1"]]), learning_curves.Options())
    assert len(drawn.axes) == 2 and all("loss" in axes.get_ylabel() for axes in drawn.axes)
    assert len(notes) == 1 and str(runs["regression"]) in notes[0]
    assert curves(capsys, tmp_path, runs["regression"])[0] == 0


def test_runs_in_their_first_epoch_are_skipped_with_a_note(runs, begun, tmp_path, capsys):
    status, err = curves(capsys, tmp_path, *begun.values(), runs["run 1"], runs["main 1"])
    assert status == 0 and len(err) == 2
    for folder, line in zip(begun.values(), err, strict=True):
        assert str(folder) in line and "left out" in line and "damaged" not in line


def test_runs_that_have_not_come_so_far_are_skipped_with_a_note(runs, tmp_path, capsys):
    short = tmp_path / "short"
    shutil.copytree(runs["run 2"], short)
    (short / "DONE").unlink()
    lines = (short / "metrics.csv").read_text().splitlines()
    (short / "metrics.csv").write_text("\n".join(lines[:3]) + "\n")
    status, err = curves(capsys, tmp_path, runs["run 1"], short, options=["--from_epoch=2"])
    assert status == 0 and len(err) == 1 and str(short) in err[0]


def test_nothing_but_runs_in_their_first_epoch_is_one_sentence(begun, tmp_path, capsys):
    status, err = curves(capsys, tmp_path, *begun.values())
    assert status == 2 and len(err) == 1 and "damaged" not in err[0]


def test_a_run_that_diverged_at_once_does_not_spoil_the_others(runs, tmp_path, capsys):
    status, err = curves(capsys, tmp_path, runs["main 1"], runs["diverged"])
    assert status == 0 and len(err) == 1 and str(runs["diverged"]) in err[0] and "damaged" not in err[0]


@pytest.mark.parametrize("name", ["run 1", "main 1"])
@pytest.mark.parametrize("file, content", [
    ("metrics.csv", b"epoch,batch\n"), ("metrics.csv", b""), ("metrics.csv", None), ("DONE", b"{"),
    ("DONE", b'{"outcome": "finished"}'),
    ("config.json", b"[]"), ("config.json", b'{"settings": {}, "options": []}'),
])  # fmt: skip
def test_what_is_damaged_is_called_damaged_in_both_programs(name, file, content, runs, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(runs[name], folder)
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    status, err = curves(capsys, tmp_path, folder)
    assert status == 2 and len(err) == 1 and str(folder) in err[0]
    status, _, err = table(capsys, folder)
    assert status == 2 and len(err) == 1 and str(folder) in err[0]


@pytest.mark.parametrize("name", ["run 1", "main 1"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(name, runs, tmp_path, monkeypatch):
    """What is read counts here; the pictures are not drawn."""
    monkeypatch.setattr(learning_curves, "draw", lambda *_: SimpleNamespace(savefig=lambda *_, **__: None))
    for file in [path.name for path in runs[name].iterdir()]:
        folder = tmp_path / file / "run"
        shutil.copytree(runs[name], folder)
        (folder / file).unlink()
        os.mkfifo(folder / file)
        status_of(summarise_seeds, [str(folder)])
        status_of(learning_curves, [str(folder), f"--output={tmp_path / 'c.png'}"])
        status_of(tidy, [str(folder), f"--output={tmp_path / 't.csv'}", f"--series={tmp_path / 's.csv'}"])
