"""The two protocols: every policy of the record is read, and changes what its row says."""

import dataclasses

import numpy as np
import pytest

from dfc import protocol
from dfc.functions import ACTIVATIONS
from dfc.protocol import DEFECTS, KEPT, PROTOCOLS, Protocol
from tests.faults.tiny_main import RULES, arrays, in_process, read_metrics
from tests.feedback_nets_for_tests import make_net
from tests.runs_for_tests import resolved as parse

NORMAL = "--fb_learning_rule=normal_controller"
IMAGES = "--dataset=mnist --output_activation=softmax --size_input=784 --size_output=10"
BP = " ".join(RULES["BP"])
# Policy: a command line whose numbers it changes.
SHOWN = {
    "aim": "",
    "clip_layers": "--clip_grad_norm=1e-5",
    "clip_each_feedback": "--clip_grad_norm=0.01",
    "clip_as_asked": f"{BP} --clip_grad_norm=0.01",
    "proactive_feedback": NORMAL,
    "output_scale": f"{NORMAL} --sigma_output_fb=0.2",
    "feedback_momentum": "--momentum_fb=0.5",
    "direct_slopes": "--network_type=DFA",
    "weighted_evaluation": "",
    "seeded_split": f"{IMAGES} {BP}",
    "early_stops": "--freeze_forward_weights --num_train=1 --batch_size=1 --epochs=13 --ndi",
    "normalize_all": BP,
    "shorten_steps": "--time_constant_ratio=0.05",
    "apical_follows": f"{NORMAL} --dt_di_fb=0.05",
}
FIELDS = [field.name for field in dataclasses.fields(Protocol)]


def numbers(folder):
    metrics = read_metrics(folder)
    return {name: values for name, values in metrics.items() if name != "seconds"}, {
        name: array.tobytes() for name, array in arrays(folder).items()
    }


def test_every_policy_is_shown():
    assert sorted([*SHOWN, "kinks"]) == sorted(FIELDS)


def test_the_protocols_differ_in_every_policy():
    older, newer = PROTOCOLS.values()
    assert list(PROTOCOLS) == ["dfc2021", "strong2022"]
    assert all(getattr(older, name) != getattr(newer, name) for name in FIELDS)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("policy", SHOWN)
def test_a_policy_changes_numbers(policy, name, tmp_path, monkeypatch):
    """A run under one protocol, and one under the same with this policy of the other: only then is the policy read."""
    other = next(each for each in PROTOCOLS if each != name)
    words = [*SHOWN[policy].split(), f"--protocol={name}"]
    found = []
    for changed in (False, True):
        call = in_process(tmp_path / str(changed), monkeypatch)
        if changed:
            mixed = dataclasses.replace(PROTOCOLS[name], **{policy: getattr(PROTOCOLS[other], policy)})
            monkeypatch.setitem(protocol.PROTOCOLS, name, mixed)
        assert call(*words) == 0
        found.append(numbers(tmp_path / str(changed) / "run"))
    assert found[0] != found[1]


def test_slopes_at_a_kink():
    net = make_net(hidden="relu")
    activities = net.forward(np.zeros((2, net.weights[0].shape[1])))
    activities.v[0][...] = 0.0
    for protocol_name, slope in (("dfc2021", 0.0), ("strong2022", 1.0)):
        net.kinks = PROTOCOLS[protocol_name].kinks
        assert (net.derivative(activities, 0) == slope).all()
    assert ACTIVATIONS["relu"] is net.activations[0]


def test_defects_by_name():
    assert parse([]).defects == KEPT
    assert parse(["--defects=none"]).defects == () and parse(["--defects=all"]).defects == tuple(DEFECTS)
    assert parse(["--defects=three_teachers, seeded_split"]).defects == ("three_teachers", "seeded_split")


@pytest.mark.parametrize("text", ("--defects=none,all", "--defects=typo", "--teacher_size_hidden=3,0"))
def test_contradictions_are_refused(text, capsys):
    with pytest.raises(SystemExit) as stop:
        parse([text])
    assert stop.value.code == 2 and text.split("=")[0] in capsys.readouterr().err


# Defect: a command line whose numbers it changes.
DEFECTIVE = {
    "pretraining_error": f"{IMAGES} {' '.join(RULES['Strong-DFC'])}",
    "filter_constants": f"{' '.join(RULES['Strong-DFC'])} --dt_di_fb=0.05",
    "seeded_split": f"{IMAGES} {BP} --protocol=strong2022",
    "three_teachers": "--teacher_size_hidden=4",
    "loss_per_batch": f"{' '.join(RULES['Strong-DFC'])} --save_lu_loss",
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_numbers(defect, tmp_path, monkeypatch):
    call, found = in_process(tmp_path, monkeypatch), []
    for kept in (defect, "none"):
        assert call(*DEFECTIVE[defect].split(), f"--defects={kept}", f"--out_dir={tmp_path / kept}") == 0
        found.append(numbers(tmp_path / kept))
    assert found[0] != found[1]
