"""What main.py writes in addition to its numbers: TensorBoard files, pictures, notes; --overwrite takes it all away."""

import json
import math
import struct

import pytest

from dfc.measures.events import EventFile, Steps
from tests.faults import tiny_main, tiny_runs
from tests.faults.crashes import Crash

MEASURED = ("--save_BP_angle", "--save_condition_gn")
LOGGED = ("--ndi", "--epochs_fb=2", "--extra_fb_epochs=1", "--save_logs", "--log_interval=2", *MEASURED)
matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")
proto = pytest.importorskip("tensorboardX.proto.event_pb2", reason="logs need tensorboardX: pip install tensorboardX")


def events(folder):
    """[(tag, step, value)] of all event files of a folder, in the order written."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack_from("<Q", data)
            event = proto.Event.FromString(data[12 : 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            data = data[16 + length :]
    return found


def values(folder):
    """{(tag, step): value}, each checked to be there once; times left out."""
    found = events(folder)
    assert len({each[:2] for each in found}) == len(found)
    return {(tag, step): value for tag, step, value in found if "time" not in tag}


@pytest.fixture
def call(tmp_path, monkeypatch):
    return tiny_main.in_process(tmp_path, monkeypatch)


@pytest.fixture
def whole(call, tmp_path):
    assert call(*LOGGED, "--epochs=3", f"--out_dir={tmp_path / 'whole'}") == 0
    return values(tmp_path / "whole")


def test_every_value_is_there_once_and_steps_go_on_through_an_epoch(whole):
    # 3 batches in a pass, of which the first and the third are logged; Q learns in 2 + 3 * 2 passes, W in 3
    for tag, count in (("layer_1/feedback_weights_norm", 16), ("layer_1/forward_weights_norm", 6)):
        assert sorted(step for name, step in whole if name == tag) == list(range(1, count + 1))
    assert sorted(step for name, step in whole if name == "training_metrics/test_loss") == [1, 2, 3]


def test_steps_of_shortened_passes_count_the_logged_batches_of_every_table(call, tmp_path):
    """One of their two batches is logged (dfc.md G.9); in 3 epochs Q learns in 2 + 3 * 2 passes, W in 3."""
    assert call(*LOGGED, "--save_df", "--epochs=3", "--first_batches=2") == 0
    found = values(tmp_path / "run")
    counts = {"feedback_weights_norm": 8, "forward_weights_norm": 3, "weight_bp_angle": 3}
    for tag, count in counts.items():
        assert sorted(step for name, step in found if name == f"layer_1/{tag}") == list(range(1, count + 1))


def test_a_run_that_was_continued_has_the_steps_of_one_that_was_not(whole, call, tmp_path):
    for epochs in (1, 2, 3):
        assert call(*LOGGED, f"--epochs={epochs}", *["--load"] * (epochs > 1)) == 0
    assert values(tmp_path / "run") == whole
    # They differ within one second, too.
    assert len(list((tmp_path / "run").glob("events*"))) == 3


@pytest.mark.parametrize("step", [2, 5, 7, 11, 17, 23])
def test_a_run_that_crashed_writes_nothing_twice(step, whole, call, tmp_path, monkeypatch):
    from dfc.learners import FeedbackLearner, ForwardLearner

    steps = iter(range(1, 1000))
    with monkeypatch.context() as patch:
        for learner in (FeedbackLearner, ForwardLearner):
            original = learner.step

            def crashing(self, *batch, original=original):
                original(self, *batch)
                if next(steps) == step:
                    raise Crash

            patch.setattr(learner, "step", crashing)
        with pytest.raises(Crash):
            call(*LOGGED, "--epochs=3")
    # the end of the file is cut, as where a process was killed while it wrote
    files = list((tmp_path / "run").glob("events*"))
    for path in files:
        path.write_bytes(path.read_bytes()[:-3])
    assert call(*LOGGED, "--epochs=3", "--load") == 0
    found = {}
    for path in (tmp_path / "run").glob("events*"):
        data = path.read_bytes()
        while len(data) >= 12 and len(data) >= 16 + struct.unpack_from("<Q", data)[0]:
            (length,) = struct.unpack_from("<Q", data)
            event = proto.Event.FromString(data[12 : 12 + length])
            for value in event.summary.value:
                assert (value.tag, event.step) not in found
                found[value.tag, event.step] = value.simple_value
            data = data[16 + length :]
    assert {key: value for key, value in found.items() if "time" not in key[0]}.items() <= whole.items()
    # Only what was cut may be missing.
    assert len(found) >= len(whole) - 1


def test_nan_is_written_without_a_word(tmp_path, capfd):
    log = EventFile(tmp_path)
    for step, value in enumerate((math.nan, math.inf, -math.inf, 1.5), 1):
        log.add_scalar("layer 1/x", value, step)
    log.close()
    log.close()
    assert [value for _, _, value in events(tmp_path)] == pytest.approx(
        [math.nan, math.inf, -math.inf, 1.5], nan_ok=True
    )
    assert capfd.readouterr() == ("", "")


def test_a_run_that_is_refused_makes_no_event_file(call, tmp_path):
    assert call("--save_logs", "--epochs=1") == 0
    before = tiny_main.contents(tmp_path)
    assert call("--save_logs", "--epochs=1") == 2
    assert tiny_main.contents(tmp_path) == before


def test_steps_by_hand():
    # W learns in passes 2, 4, ….
    steps = Steps(lambda passed: passed >= 2 and passed % 2 == 0, 5, 2)
    assert [steps.of((0, batch)) for batch in range(5)] == [1, 0, 2, 0, 3]
    assert [steps.of((passed, 0)) for passed in range(6)] == [1, 4, 1, 7, 4, 10]


# ---- --overwrite


def test_overwrite_takes_away_all_that_a_run_writes_and_nothing_else(call, tmp_path):
    images = (
        "--dataset=mnist_autoencoder",
        "--size_input=784",
        "--size_output=784",
        "--plot_autoencoder_images",
        "--save_logs",
    )
    assert call(*images, "--make_dynamics_plot", "--epochs=2", "--save_df", "--save_BP_angle") == 0
    folder = tmp_path / "run"
    written = {path for path in folder.rglob("*") if path.is_file()}
    assert len([path for path in written if path.suffix == ".png"]) == 2 + 8
    (folder / "optimal_gnt_damping_constant.txt").write_text("1")
    own = {folder / "notes.txt": "mine", folder / "_Epoch of mine.png": "x", folder / "autoencoder_images/my.png": "y"}
    for path, text in own.items():
        path.write_text(text)
    assert call("--ndi", "--epochs=1", "--overwrite") == 0
    left = {path for path in folder.rglob("*") if path.is_file()}
    plain = tmp_path / "plain"
    assert call("--ndi", "--epochs=1", f"--out_dir={plain}") == 0
    assert left - set(own) == {folder / path.relative_to(plain) for path in plain.rglob("*")}
    assert {path: path.read_text() for path in own} == own


def test_overwrite_of_run_py(tmp_path, monkeypatch):
    call = tiny_runs.in_process(tmp_path, monkeypatch)
    assert call("--nb_epochs=2", "--quiet") == 0
    folder = tiny_runs.only(tmp_path / "results")
    (folder / "mine.txt").write_text("mine")
    names = {path.name for path in folder.iterdir()}
    assert call("--nb_epochs=1", "--quiet", "--overwrite") == 0
    assert {path.name for path in folder.iterdir()} == names and (folder / "mine.txt").read_text() == "mine"


def test_a_folder_in_a_files_place_is_one_sentence(call, tmp_path, capfd):
    (tmp_path / "run/results.json").mkdir(parents=True)
    assert call("--ndi", "--epochs=1", "--overwrite") == 2
    assert "results.json" in tiny_main.complaint(capfd.readouterr().err)


# ---- notes and pictures


NEVER = ("--tmax_di=2", "--epsilon_di=0", "--freeze_fb_weights", "--epochs=3")


def test_an_epoch_in_which_no_sample_converged_is_told_once(call, tmp_path, capfd):
    assert call(*NEVER) == 0
    assert "note: no sample converged in epoch 1, so that nothing was learned" in tiny_main.complaint(
        capfd.readouterr().err
    )
    assert set(tiny_main.read_metrics(tmp_path / "run")["converged"]) == {0}


def test_no_such_note_where_such_samples_are_learned_from(call, tmp_path, capfd):
    assert call(*NEVER, "--include_non_converged_samples") == 0 and capfd.readouterr().err == ""


@pytest.mark.parametrize("flags", [("--grad_deltav_cont", "--efficient_controller"), ("--use_bp_updates", "--lr=1e-5")])
def test_no_such_note_where_w_learns_from_all_samples_that_do_not_diverge(flags, call, tmp_path, capfd):
    """The memory-saving DFC drops diverged samples alone (dfc.md C.3), the gradient of BP needs no controller."""
    assert call(*NEVER, *flags, "--epochs=0", f"--out_dir={tmp_path / 'start'}") == 0
    assert call(*NEVER, *flags) == 0 and capfd.readouterr().err == ""
    assert set(tiny_main.read_metrics(tmp_path / "run")["converged"]) == {0}
    start, end = (tiny_main.arrays(tmp_path / name)["0Lweights"] for name in ("start", "run"))
    assert not (start == end).all()


def test_no_such_note_where_samples_converge(call, tmp_path, capfd):
    assert call("--epochs=1") == 0 and capfd.readouterr().err == ""
    assert tiny_main.read_metrics(tmp_path / "run")["converged"][0] > 0


def test_pictures_of_a_run_do_not_mind_settings_of_matplotlib(call, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    images = ("--dataset=mnist_autoencoder", "--size_input=784", "--size_output=784", "--plot_autoencoder_images")
    with matplotlib.rc_context({"text.usetex": True, "font.family": ["No Such Font"], "savefig.dpi": 7}):
        assert call(*images, "--make_dynamics_plot", "--epochs=1") == 0
    assert len(list((tmp_path / "run").glob("_Epoch0_*.png"))) == 1
    head = next((tmp_path / "run").glob("_Epoch0_*.png")).read_bytes()[16:24]
    assert struct.unpack(">2I", head) == (1500, 1000)
    assert json.loads((tmp_path / "run/DONE").read_text())["outcome"] == "finished"
