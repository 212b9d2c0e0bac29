"""What the flags of Strong-DFC and the protocol make of the other flags (strong_dfc.md 9, "Post-processing order")."""

from core.options import UsageError
from dfc.protocol import DEFECTS, KEPT, PROTOCOLS

SOFT = 0.99  # worth of the right class under strong feedback where none is given


def complete(values, task):
    """Resolve the flags of the group "Strong-DFC" in `values`, {flag: value}, and add what follows: aim, error, slopes.

    Raises  UsageError where flags contradict each other
    """
    protocol, strong = PROTOCOLS[values["protocol"]], values["strong_feedback"]
    _check(values, task)
    if strong and values["target_class_value"] == 1.0:
        values["target_class_value"] = SOFT
    values["aim"] = "label" if strong else protocol.aim
    values["error"] = "ce" if strong and task == "classification" else "mse"
    values["slopes"] = protocol.direct_slopes
    if values["start_from"] is not None:
        values["epochs_fb"] = 0
    if values["use_jacobian_as_fb"]:
        values |= {"freeze_fb_weights": True, "epochs_fb": 0, "extra_fb_epochs": 0}
    if values["rule"].joint:
        values["noisy_dynamics"] = not values["use_jacobian_as_fb"]


def fit_time_constants(values):
    """Make time steps and time constants compatible, as the protocol has it."""
    if not PROTOCOLS[values["protocol"]].shorten_steps:
        for phase in ("", "_fb"):  # a soma faster than the time step cannot be simulated
            values[f"time_constant_ratio{phase}"] = max(values[f"time_constant_ratio{phase}"], values[f"dt_di{phase}"])
        return
    for name in ("tau_noise", "time_constant_ratio", "time_constant_ratio_fb"):
        values[name] = min(values[name], values["tau_f"])
    for phase in ("", "_fb"):
        values[f"dt_di{phase}"] = min(values[f"dt_di{phase}"], values[f"time_constant_ratio{phase}"])


def read_lists(values):
    """Give lists that are words their meaning: the defects that are kept, and the teacher's sizes, None for the large one."""
    words, groups = values["defects"], {"kept": KEPT, "none": (), "all": tuple(DEFECTS)}
    if len(words) > 1 and not groups.keys().isdisjoint(words):
        raise UsageError(f"--defects={','.join(words)}: kept, none and all stand alone")
    values["defects"] = groups.get(words[0], words)
    sizes = values["teacher_size_hidden"]
    if 0 in sizes and len(sizes) > 1:
        raise UsageError(f"--teacher_size_hidden={','.join(map(str, sizes))}: a layer has at least one unit")
    values["teacher_size_hidden"] = None if sizes == (0,) else sizes


def _check(values, task):
    rule, strong = values["rule"], values["strong_feedback"]
    if strong and not rule.simulates:
        raise UsageError(f"--strong_feedback: does not apply to {rule.name}, only to rules that simulate a controller")
    if strong and task == "classification" and not values["include_non_converged_samples"]:
        raise UsageError(
            "--strong_feedback: needs --include_non_converged_samples for a classification, where no sample meets the test of "
            "convergence"
        )
    if rule.joint and values["efficient_controller"]:
        raise UsageError(f"--efficient_controller: does not apply to {rule.name}, which never keeps trajectories")
    if values["use_jacobian_as_fb"] and not rule.simulates:
        raise UsageError(f"--use_jacobian_as_fb: does not apply to {rule.name}, only to rules that simulate a controller")
    if values["use_jacobian_as_fb"] and values["noisy_dynamics"]:
        raise UsageError("--use_jacobian_as_fb: does not go together with --noisy_dynamics")
    if values["pretrain_without_controller"] and not rule.joint:
        raise UsageError(f"--pretrain_without_controller: does not apply to {rule.name}, only to Strong-DFC")
    for name in ("save_lu_loss", "save_H_angle", "save_ratio_ff_fb"):
        if values[name] and not rule.controlled:
            raise UsageError(f"--{name}: does not apply to {rule.name}, only to rules with a controller")
    if values["teacher_linear"] and values["teacher_size_hidden"] == "0":
        raise UsageError("--teacher_linear: needs --teacher_size_hidden")
