"""Holds the published experiments under their published names.

`load` reads one of them, and `to_argv` makes a command line of it.
"""

import copy
import difflib
import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass, fields

from core.options import UsageError, options_of_rules
from dfc.settings.flags import Options
from rules import FEEDBACK_NET_RULES

# These abbreviations are published.
ALIASES = {"sigma_output": "sigma_output_fb"}
USERS = {"config": "which run_config.py runs", "config_collection": "which run_pipeline.py runs"}
FLAGS = {field.name: field.default for field in fields(Options)}
FLAGS |= {name: field.default for name, (field, _) in options_of_rules(Options, FEEDBACK_NET_RULES).items()}


@dataclass(frozen=True)
class Collection:
    """Holds the experiments of a pipeline.

    experiments      {name: config}, in the order in which they run
    fixed            what all have in common, unless an experiment says otherwise; already part of each
    result_keys      names of the results that are kept
    result_keys_DFA  the same for an experiment named DFA
    statistics_keys  names of the columns of results.csv
    """

    experiments: dict
    fixed: dict
    result_keys: list
    result_keys_DFA: list
    statistics_keys: list


def load(module_name, collection=False):
    """Returns a copy of the config of a module, {flag: value}, or of a pipeline's Collection.

    collection  whether the module is a pipeline's
    Raises      UsageError if there is no such module, it lacks what is asked for, or names a flag that does not exist
    """
    module = _import(module_name)
    if not collection:
        return _checked(_part(module, "config", dict), f"{module_name}.config")
    fixed = _checked(_part(module, "config_fixed", dict), f"{module_name}.config_fixed")
    experiments = {}
    for name, entry in _part(module, "config_collection", dict).items():
        experiments[str(name)] = copy.deepcopy(fixed) | _checked(entry, f"{module_name}.config_collection[{name!r}]")
    if not experiments:
        raise UsageError(f"{module_name}.config_collection: holds no experiment")
    keys = [list(_part(module, name, (list, tuple))) for name in ("result_keys", "statistics_keys")]
    keys_dfa = list(_part(module, "result_keys_DFA", (list, tuple))) if "DFA" in experiments else []
    return Collection(experiments, fixed, keys[0], keys_dfa, keys[1])


def to_argv(config):
    """Returns the command line of a config: [--flag=value, ...].

    True is a bare switch; False is left out; None is the word None, or left out if that is the default.
    """
    argv = []
    for name, value in config.items():
        if value is True:
            argv.append(f"--{name}")
        elif value is not False and not (value is None and FLAGS.get(name) is None):
            argv.append(f"--{name}={value}")
    return argv


def module_names():
    """Returns the names of the experiments, in alphabetical order."""
    found = pkgutil.walk_packages(__path__, f"{__name__}.")
    names = (module.name for module in found if not module.ispkg)
    return sorted(name for name in names if not name.rpartition(".")[2].startswith("_"))


def _import(name):
    try:
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    # A package that contains the module is missing, or a module that it imports.
    except ModuleNotFoundError as error:
        if not error.name or not f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"--config_module={name}: imports {error.name}, which is not there") from None
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"--config_module={name}: cannot be read, {type(error).__name__}: {reason}") from None
    raise UsageError(f"--config_module={name}: there is no such module{_hint(name, module_names())}")


def _part(module, name, kind):
    if not hasattr(module, name):
        other = {"config": "config_collection", "config_collection": "config", "config_fixed": "config"}.get(name)
        hint = f"; it has {other}, {USERS[other]}" if other and hasattr(module, other) else ""
        raise UsageError(f"--config_module={module.__name__}: has no {name}{hint}")
    found = getattr(module, name)
    if not isinstance(found, kind):
        wanted = "a dict" if kind is dict else "a list"
        raise UsageError(f"{module.__name__}.{name}: must be {wanted}, not {type(found).__name__}")
    return found


def _checked(config, where):
    """Returns a copy of a config with its aliases replaced."""
    if not isinstance(config, dict):
        raise UsageError(f"{where}: must be a dict, not {type(config).__name__}")
    config = {ALIASES.get(name, name): copy.deepcopy(value) for name, value in config.items()}
    for name in config:
        if name not in FLAGS:
            raise UsageError(f"{where}: {name!r} is no flag of main.py{_hint(str(name), FLAGS)}")
    return config


def _hint(name, known):
    near = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
