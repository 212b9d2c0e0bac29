"""Reads and resolves the settings of a run of system 2 from its command line, in the published order.

The order is that of docs/published/dfc.md J.post.
"""

import dataclasses
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from core.options import (
    Parser,
    UsageError,
    add_arguments,
    add_rule_arguments,
    complete,
    read_lists,
    split_rule_arguments,
)
from core.seeds import check_alone
from core.training import Schedule
from datasets.catalogue import BY_FLAG
from dfc.protocol import DEFECTS, KEPT, PROTOCOLS
from dfc.settings.checks import check_options, check_settings, check_strong, notes_on
from dfc.settings.flags import PUBLISHED, STRONG, Options
from dfc.settings.parts import schedule, system_settings, take, task_settings, watcher_settings
from dfc.settings.published import ANGLES
from dfc.settings.records import MachineSettings, SystemSettings, TaskSettings, WatcherSettings

# Default worth of the right class under strong feedback.
SOFT = 0.99
DESCRIPTION = "Train a network by Deep Feedback Control (DFC, DFC-SS, DFC-SSA, Strong-DFC), by DFA or by BP."


@dataclass(frozen=True)
class Settings:
    """Holds what a command line asks for: a record for each part of the program, and the rest for main.py.

    system, task, schedule, watchers, machine   records (dfc/settings/records.py)
    rule             rules._rule.Rule;  rule_flags are {flag: value} of its own flags
    successor_flags  {flag: value} of the group "Strong-DFC"
    strong_flags     those of them that differ from their defaults
    angles_wanted    whether a flag asks for angles, a null-space ratio, condition 2 or the search of gn_damping
    args             {flag: value} for args.txt: as given, completed, with lists and lr still as text
    flags            {name: value} of all flags, see below
    notes            sentences on flags that were changed or have no effect

    `flags` has every flag but network_type, with the value that a run uses. No value stands for another one any
    more: only c_homeostatic, clip_grad_norm and fix_grad_norm keep a -1. Rates are divided by target_stepsize
    with normalize_lr, and feedback_wd is 0.0 with use_homeostatic_wd_fb. It also has what follows from several
    flags:

        rule, rule_flags, successor_flags, strong_flags, angles_wanted  as above
        task         "classification", "regression" or "autoencoder"
        sizes        (n_0, …, n_L)
        activations  names of phi_1 … phi_L; that of logits is "linear"
        aim          what the output is driven to (dfc.gradients.output_target);  error is that of the controller
        slopes       whether the errors of DFA contain phi'
        precision    "float64" or "float32"
        steps        time points of the forward phase: tmax_di rounded half to even
        steps_fb     time points while Q learns: tmax_di_fb truncated
        homeostatic  strength of the homeostatic term, the feedback_wd that was given; or None
    """

    system: SystemSettings
    task: TaskSettings
    schedule: Schedule
    watchers: WatcherSettings
    machine: MachineSettings
    rule: Any
    rule_flags: dict
    successor_flags: dict
    strong_flags: dict
    random_seed: int
    seeds: str
    out_dir: str | None
    start_from: str | None
    load: bool
    load_or_start: bool
    overwrite: bool
    quiet: bool
    dry_run: bool
    angles_wanted: bool
    args: dict
    flags: dict
    notes: tuple

    def change(self, **flags):
        """Returns the Settings with other values of some flags, from which no other flag may follow."""
        return _records(self.flags | flags, self.args | flags, self.notes)


def add_flags(parser, rules):
    """Adds every flag of main.py to a parser, including those of the rules {name: rules._rule.Rule}."""
    add_arguments(parser, Options, choices={"network_type": rules})
    add_rule_arguments(parser, Options, rules, "network_type")


def parse(argv, rules, prog="main.py"):
    """Returns the Settings of a command line; exits with status 2 and one sentence on a mistake.

    No file is touched. A published flag may be abbreviated if only one begins so; a whole name is never an
    abbreviation.

    argv   list of words; None: those of this process
    rules  {name: rules._rule.Rule} that --network_type may name
    prog   the beginning of errors
    """
    told = "The published flags may be abbreviated where that is clear."
    parser = Parser(prog=prog, description=DESCRIPTION, abbreviated=PUBLISHED, epilog=told)
    add_flags(parser, rules)
    try:
        return resolve(vars(parser.parse_args(argv)), rules)
    except UsageError as error:
        parser.error(str(error))


def resolve(given, rules):
    """Returns the Settings that follow from {flag: value} of the given flags; others have their defaults.

    rules   {name: rules._rule.Rule}
    Raises  UsageError if flags contradict each other or cannot be read
    """
    options = Options(**{name: value for name, value in given.items() if name in Options.__dataclass_fields__})
    check_options(options, rules)
    if "seeds" in given:
        check_alone(options, given, "random_seed")
    values = dict(vars(options))
    rule = values["rule"] = _find_rule(values, rules)
    _, values["rule_flags"] = split_rule_arguments(given, Options, rules, "network_type", rule)
    _complete(values)
    _complete_strong(values, BY_FLAG[values["dataset"]].task)
    _fit_time_constants(values)
    text = {name: values[name] for name in PUBLISHED}
    # A run has its rule instead.
    del values["network_type"]
    values |= read_lists(Options, values)
    _read_words(values)
    _collect_strong(values, options)
    _read_layers(values, text, "num_hidden" in given)
    _read_rates(values, text)
    _derive(values)
    seen = SimpleNamespace(**values)
    check_settings(seen)
    return _records(values, text, notes_on(options, seen, given))


def _records(flags, args, notes):
    """Returns the Settings of their `flags`, `args` and `notes`."""
    system = system_settings(flags)
    records = {"system": system, "task": task_settings(flags), "schedule": schedule(flags, system.feedback)}
    records |= {"watchers": watcher_settings(flags), "machine": take(MachineSettings, flags)}
    return take(Settings, flags | records | {"flags": flags, "args": args, "notes": notes})


def _find_rule(values, rules):
    """Returns the Rule that its published flags or its name ask for; these flags then replace the name."""
    kind = values["network_type"]
    published = [each for each in rules.values() if each.published.get("network_type") == kind]
    fitting = [each for each in published if each.published.items() <= values.items()]
    rule = max(fitting, key=lambda each: len(each.published)) if fitting else rules[kind]
    values |= rule.published
    if rule.feedback != "none" and not rule.learns_feedback:
        values["freeze_fb_weights"] = True
    return rule


def _complete(values):
    """Replaces values that stand for another option by that option's value, and makes times whole numbers.

    These are the steps 2 to 9 of the published order.
    """
    follows = PROTOCOLS[values["protocol"]].apical_follows
    if follows == "dt_di_fb" and values["apical_time_constant_fb"] == -1:
        # If that flag is -1, too, it follows dt_di.
        values["apical_time_constant_fb"] = values[follows]
    complete(Options, values)
    values["steps"] = round(values["tmax_di"])
    for name in ("epochs_fb", "extra_fb_epochs", "tmax_di_fb"):
        values[name] = int(values[name])
    values["steps_fb"] = values["tmax_di_fb"]


def _complete_strong(values, task):
    """Resolves the flags of the group "Strong-DFC", and adds what follows from them: aim, error, slopes.

    The flags are those of docs/published/strong_dfc.md 9.
    Raises  UsageError if flags contradict each other
    """
    protocol, strong = PROTOCOLS[values["protocol"]], values["strong_feedback"]
    check_strong(values, task)
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


def _fit_time_constants(values):
    """Makes time steps and time constants compatible, as the protocol prescribes."""
    if not PROTOCOLS[values["protocol"]].shorten_steps:
        for phase in ("", "_fb"):
            # A soma that is faster than the time step cannot be simulated.
            values[f"time_constant_ratio{phase}"] = max(values[f"time_constant_ratio{phase}"], values[f"dt_di{phase}"])
        return
    for name in ("tau_noise", "time_constant_ratio", "time_constant_ratio_fb"):
        values[name] = min(values[name], values["tau_f"])
    for phase in ("", "_fb"):
        values[f"dt_di{phase}"] = min(values[f"dt_di{phase}"], values[f"time_constant_ratio{phase}"])


def _read_words(values):
    """Reads lists of words: the defects that are kept, and the teacher's sizes, None for the large one."""
    words, groups = values["defects"], {"kept": KEPT, "none": (), "all": tuple(DEFECTS)}
    if len(words) > 1 and not groups.keys().isdisjoint(words):
        raise UsageError(f"--defects={','.join(words)}: kept, none and all must be given alone")
    values["defects"] = groups.get(words[0], words)
    sizes = values["teacher_size_hidden"]
    if 0 in sizes and len(sizes) > 1:
        raise UsageError(f"--teacher_size_hidden={','.join(map(str, sizes))}: a layer has at least one unit")
    values["teacher_size_hidden"] = None if sizes == (0,) else sizes


def _collect_strong(values, options):
    """Adds the flags of the group "Strong-DFC": all of them, and those that differ from their defaults."""
    added = {f.name: f.default for f in dataclasses.fields(Options) if f.metadata["group"] == STRONG}
    values["successor_flags"] = {name: values[name] for name in added}
    given_or_meant = vars(options) | values["rule"].published
    values["strong_flags"] = {name: values[name] for name, default in added.items() if given_or_meant[name] != default}


def _read_layers(values, text, num_hidden_given):
    """Resolves the sizes and activations of the layers.

    Brackets around one value mean nothing: it holds for every hidden layer.
    """
    sizes, names = values["size_hidden"], values["hidden_activation"]
    count = len(sizes) if len(sizes) > 1 else values["num_hidden"]
    if num_hidden_given and count != values["num_hidden"]:
        raise UsageError(
            f"--size_hidden={text['size_hidden']}: {count} sizes for --num_hidden={values['num_hidden']} hidden layers"
        )
    if len(names) > 1 and len(names) != count:
        raise UsageError(
            f"--hidden_activation={text['hidden_activation']}: {len(names)} activations for {count} hidden layers "
            "(--num_hidden, --size_hidden)"
        )
    sizes, names = (entries * count if len(entries) == 1 else entries for entries in (sizes, names))
    output = "linear" if values["output_activation"] == "softmax" else values["output_activation"]
    values |= {"num_hidden": count, "size_hidden": sizes, "hidden_activation": names}
    values |= {"sizes": (values["size_input"], *sizes, values["size_output"]), "activations": (*names, output)}


def _read_rates(values, text):
    """Reads step sizes and epsilons of W: one number, or one per layer."""
    layers, rates, epsilons = len(values["activations"]), values["lr"], values["epsilon"]
    for name, entries in (("lr", rates), ("epsilon", epsilons)):
        if len(entries) not in (1, layers):
            raise UsageError(
                f"--{name}={text[name]}: {len(entries)} numbers for {layers} layers, the output layer included"
            )
    if len(epsilons) > 1 and len(rates) == 1:
        raise UsageError(f"--epsilon={text['epsilon']}: one number per layer needs an --lr with one number per layer")
    if values["normalize_lr"] and (values["rule"].controlled or PROTOCOLS[values["protocol"]].normalize_all):
        rates = tuple(rate / values["target_stepsize"] for rate in rates)
        if max(rates) == float("inf"):
            given = f"--target_stepsize={values['target_stepsize']}"
            raise UsageError(f"{given}: too small to divide --lr by (--normalize_lr)")
    for name, entries in (("lr", rates), ("epsilon", epsilons)):
        values[name] = entries[0] if len(entries) == 1 else entries


def _derive(values):
    """Adds what follows from the flags together.

    These are the steps 1, 11 and 16 to 19 of the published order.
    """
    values["precision"] = "float32" if values["single_precision"] else "float64"
    values["task"] = BY_FLAG[values["dataset"]].task
    values["angles_wanted"] = any(values[name] for name in ANGLES)
    if values["ndi"] and values["save_eigenvalues_bcn"]:
        # No correction comes after the analytical steady state.
        values |= {"save_eigenvalues_bcn": False, "save_eigenvalues": True}
    if values["learning_rule"] == "nonlinear_difference":
        values["use_nonlinear_gnt"] = True
    values["homeostatic"] = None
    if values["use_homeostatic_wd_fb"]:
        values |= {"homeostatic": values["feedback_wd"], "feedback_wd": 0.0}
    if values["no_cuda"]:
        values["backend"] = "numpy"
