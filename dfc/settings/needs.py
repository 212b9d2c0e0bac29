"""Whether a run has what a flag of main.py acts only with."""

from dfc.protocol import PROTOCOLS
from dfc.settings import flags


def _unless(holds, why):
    return "" if holds else why


def _control(s):
    return _unless(s.rule.controlled, f"for {s.rule.name}")


def _simulation(s):
    return _control(s) or _unless(s.rule.simulates, f"for {s.rule.name}, which simulates nothing in the forward phase")


def _learned(s):
    return _unless(s.rule.learns_feedback, f"for {s.rule.name}") or _unless(not s.freeze_fb_weights, "with --freeze_fb_weights")


def _normal(s):
    rule = s.fb_learning_rule
    return _unless(rule == "normal_controller", f"with --fb_learning_rule={rule}, which simulates nothing")


# {what is needed: function of the Settings that says why it is missing, or "" where it is there}, in the order of the notes
MISSING = {
    flags.TEACHER: lambda s: _unless(s.task == "regression", f"with --dataset={s.dataset}"),
    flags.ADAM: lambda s: _unless(s.optimizer == "Adam", f"with --optimizer={s.optimizer}"),
    flags.COMPARED: lambda s: _unless(not s.rule.reference, f"for {s.rule.name}"),
    flags.CLIPPING: lambda s: _unless(s.rule.clips == "asked" or PROTOCOLS[s.protocol].clip_as_asked, f"for {s.rule.name}"),
    flags.FEEDBACK: lambda s: _unless(s.rule.feedback != "none", f"for {s.rule.name}"),
    flags.CONTROL: _control,
    flags.SIMULATION: _simulation,
    flags.EFFICIENT: lambda s: _simulation(s) or _unless(s.efficient_controller, f"without {flags.EFFICIENT}"),
    flags.LEARNED: _learned,
    flags.SUCCESSOR: lambda s: _learned(s) or _unless(s.protocol == "strong2022", f"without {flags.SUCCESSOR}"),
    flags.NORMAL: lambda s: _learned(s) or _normal(s),
    flags.ADAM_FB: lambda s: _learned(s) or _unless(s.optimizer_fb == "Adam", f"with --optimizer_fb={s.optimizer_fb}"),
    flags.HOMEOSTATIC: lambda s: _learned(s) or _unless(s.use_homeostatic_wd_fb, f"without {flags.HOMEOSTATIC}"),
}
