"""run_config.py: the options of a module, those of the command line in front of them, and its use from Python."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import run_config
import run_strong
from core.options import UsageError

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "dataset": "student_teacher", "network_type": "BP", "num_train": 40, "num_test": 20, "num_val": 20,
    "size_hidden": [4, 3], "batch_size": 20, "epochs": 3, "lr": 0.01, "no_bias": True, "threads": 1, "quiet": True,
}  # fmt: skip


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module in the folder above the current one, with the config TINY."""
    # It has a name of its own, because imported modules stay.
    name = f"experiment_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(f"config = {TINY!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return name


def status(*argv):
    try:
        return run_config.main(list(argv))
    except SystemExit as end:
        return end.code


def options(folder):
    return json.loads(Path(folder, "config.json").read_text())["options"]


def test_the_module_gives_the_options_and_the_command_line_wins(module):
    assert status(f"--config_module={module}", "--epochs=2", "--lr", "0.02", "--out_d=a") == 0
    given = options("a")
    assert (given["epochs"], given["lr"], given["num_train"], given["size_hidden"]) == (2, "0.02", 40, "[4, 3]")
    assert given["no_bias"] is True and given["single_precision"] is False
    assert json.loads(Path("a", "DONE").read_text())["epochs"] == 2


def test_a_module_in_the_current_folder_is_found_from_anywhere(module, tmp_path):
    words = [sys.executable, str(ROOT / "run_config.py"), f"--config_module={module}", "--epochs=1", "--out_dir=a"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "epoch 1/1" in done.stdout and (tmp_path / "a" / "DONE").exists()


def test_from_python_it_returns_the_summary(module):
    summary = run_config.run(module, {"epochs": 2, "no_bias": False, "out_dir": "a"})
    losses = [float(line.split(",")[1]) for line in metrics("a", "epoch", "loss_test")]
    assert (
        summary["finished"] == 1 and summary["loss_test"].tolist() == losses and summary["loss_test_last"] == losses[-1]
    )
    assert options("a")["no_bias"] is False
    again = run_config.run(module, {"epochs": 2, "no_bias": False, "out_dir": "a", "load": True})
    assert np.array_equal(again["loss_test"], summary["loss_test"])


def metrics(folder, *columns):
    """The named columns of metrics.csv, as lines."""
    header, *rows = (line.split(",") for line in Path(folder, "metrics.csv").read_text().splitlines())
    return [",".join(row[header.index(column)] for column in columns) for row in rows]


def test_from_python_an_interrupted_run_is_an_interruption(module, monkeypatch, tmp_path):
    """The loop takes the signal to save; the caller's program must hear of it all the same."""
    folder = type("Folder", (), {"path": tmp_path})
    outcome = {"outcome": "interrupted", "epoch": 0, "batch": 1, "signal": 2}
    monkeypatch.setattr(run_config.program, "train", lambda settings: (outcome, folder))
    with pytest.raises(KeyboardInterrupt):
        run_config.run(module)


def test_from_python_mistakes_are_errors(module):
    with pytest.raises(UsageError, match="there is no such module"):
        run_config.run("configs.configs_mnist.mnist_ndi")
    with pytest.raises(SystemExit):
        run_config.run(module, {"epochs": -1})


@pytest.mark.parametrize(
    "argv, text",
    [
        (
            ["--config_module=configs.configs_mnist.mnist_ndi"],
            "run_config.py: --config_module=configs.configs_mnist.mnist_ndi:",
        ),
        (["--config_module=configs.pipeline_configs.mnist"], "run_pipeline.py"),
        (["--config_module=json"], "has no config"),
        (["--config_module="], "--config_module=:"),
        (
            ["--config_module=configs.configs_mnist.mnist_bp", "--epoch_count=2"],
            "--epoch_count=2: there is no such option",
        ),
        (["--config_module=configs.configs_mnist.mnist_bp", "--epochs=-2"], "--epochs: -2 is out of range"),
        (
            ["--config_module=configs.configs_mnist.mnist_bp", "--ndi", "--grad_deltav_cont", "--network_type=DFC"],
            "contradicts",
        ),
        (["mnist_bp"], "mnist_bp: there is no such option; a value with blanks needs quotes"),
        (["--config_module"], "--config_module"),
    ],
)
def test_a_mistake_is_one_sentence_and_touches_nothing(argv, text, module, capsys):
    assert status(*argv) == 2
    out, err = capsys.readouterr()
    assert text in err and err.count("\n") == 1 and out == ""
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("script", ["run_config.py", "run_strong.py"])
def test_a_script_that_hands_its_work_to_main_keeps_its_name(script, module, tmp_path, capsys):
    """In the note on a run without converged samples, and in the sentence on how a run ended."""
    words = ["--dataset=student_teacher", "--epochs=1", "--batch_size=20", "--quiet", "--threads=1"]
    words.append(f"--out_dir={tmp_path / 'run'}")
    if script == "run_config.py":
        ended = run_config.main([f"--config_module={module}", "--optimizer=SGD", "--lr=1e300", *words])
    else:
        ended = run_strong.main(["bp", "--size_hidden=[4]", "--optimizer=SGD", "--lr=1e300", *words])
    lines = capsys.readouterr().err.splitlines()
    assert ended == 3 and lines[-1].startswith(f"{script}: diverged in epoch 1") and "main.py" not in "".join(lines)


def test_help_tells_of_the_module_and_of_the_other_options(capsys):
    assert status("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "--config_module MODULE" in text
        and "configs.configs_mnist.mnist_dfc_ssa" in text
        and "python main.py --help" in text
    )


def test_the_default_module_exists():
    assert run_config.load(run_config.CONFIG_MODULE)["ndi"] is True
