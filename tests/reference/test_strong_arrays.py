"""Every recorded array of Strong-DFC is compared by a test, is given to one, or stands here with the reason why not.

A name stands for all layers: W# for W0, W1, …
"""

import re

import numpy as np
import pytest

from tests.reference import test_strong_diagnostics, test_strong_images, test_strong_replay, test_strong_updates
from tests.reference.strong_cases import FOLDER

GIVEN_TO_CASES = "x target W# b# Q# noise#"
CASES = {
    "test_feedforward_pass": "v# r# loss",
    "test_trajectories": "output_target u sample_error u_mean va# vb# vs# rt#",
    "test_gradients": "dW# db# dQ# u_ss converged diverged counts",
    "test_gradients_of_passes_that_teach_feedback_alone": "dQ# dQ#_clipped",
    "test_clipping": "dW#_clipped db#_clipped dQ#_clipped",
    "test_analytical_update": "ndi_dW# ndi_db#",
}
DIAGNOSTICS = {
    "test_surrogate_loss": "H_loss",
    "test_surrogate_update_and_its_angles": "H_dW# H_db# H_angle H_angle_b H_angle_network",
    "test_condition_two": "condition_two",
    "test_feedback_shares": "ratio_ff_fb_asis",
}
# the data of synthetic runs were made up for the recording
GIVEN_TO_RUNS = "train_x train_y test_x test_y val_x val_y"
MOVING = (
    "pre_dQ# pre_Q# feedback_dQ# feedback_Q# extra_dQ# extra_Q# "
    "forward_dW# forward_db# forward_W# forward_b# forward_dQ# forward_Q#"
)
EPOCHS = [f"epochs_{name}_{what}" for name in ("train", "test", "val") for what in ("loss", "accu")]
LOSSES = " ".join(["batch_loss", "batch_accuracy", *EPOCHS])
START = "W#_init b#_init Q#_init"
MEASURED = "gn_condition gn_condition_init epochs_train_loss_lu epochs_lu_angle lu_angles lu_angles_network"
# These hold slips that the program has mended and offers no option for: the test makes them of the program's own
# quantities.  The angles compare the analytical update of an epoch's first batch, by low-passed rates in the single
# phase, with the gradient of its last one; the distance is the mean over all epochs so far.
WITH_SLIPS = "ndi_angles ndi_angles_network rel_dist_to_ndi"
RUNS = {
    "test_start_order_and_noise_follow_from_the_seed": (
        f"{START} order noise_pre# noise_feedback# noise_forward# noise_extra#"
    ),
    "test_every_gradient_and_every_weight_of_every_batch": MOVING,
    "test_losses": LOSSES,
    "test_measurements_at_the_ends_of_epochs": f"{MEASURED} {WITH_SLIPS}",
    "test_data_of_the_published_teachers": "train_teacher_W# test_teacher_W# val_teacher_W#",
}
IMAGES = {
    "test_a_run_on_images_from_the_seed_alone": f"{START} order_flat split_train_head split_val_head {MOVING} {LOSSES}",
}
FILES = {
    "single_phase": [(test_strong_updates, CASES), (None, {"given": GIVEN_TO_CASES})],
    "two_phase": [(test_strong_updates, CASES), (None, {"given": GIVEN_TO_CASES})],
    "diagnostics": [
        (test_strong_updates, CASES),
        (test_strong_diagnostics, DIAGNOSTICS),
        (None, {"given": GIVEN_TO_CASES}),
    ],
    "runs": [(test_strong_replay, RUNS), (None, {"given": GIVEN_TO_RUNS})],
    "baselines": [(test_strong_replay, RUNS), (None, {"given": GIVEN_TO_RUNS})],
    "images": [(test_strong_images, IMAGES)],
}


@pytest.mark.parametrize("file", FILES)
def test_no_recorded_array_is_left_out(file):
    with np.load(FOLDER / f"{file}.npz") as archive:
        names = {re.sub(r"\d+", "#", name.split("__")[1]) for name in archive.files if name != "cases"}
    # Settings as text, by which every test begins; of a run also the summary, see test_summary.
    names.discard("meta")
    covered = {name for _, table in FILES[file] for names_of in table.values() for name in names_of.split()}
    assert names <= covered


def test_the_tests_that_are_named_exist():
    named = [(module, test) for tables in FILES.values() for module, table in tables if module for test in table]
    assert all(callable(getattr(module, test)) for module, test in named) and len(named) > 20


def test_every_file_is_listed():
    assert {path.stem for path in FOLDER.glob("*.npz")} == FILES.keys()
