"""Describes options, each with its meaning and range, as typed records that make up the command line."""

import argparse
import copy
import dataclasses
import math
import re
import sys

from core import machine
from core.errors import UsageError
from core.paths import expanded, printable, shortened, unfit_output
from core.program import Dropping

# Hidden layers: a network with more would take hours for one batch.
LAYERS = "[1, 10000]"
WORDS = {int: "a whole number", float: "a number"}


def option(
    default, help, *, bounds=None, sentinel=None, choices=None, kind=None, metavar=None, names=(), group=None,
    entries=None, one=False, follows=None, needs=None, bare=None,
):  # fmt: skip
    """Returns a dataclass field that is a command-line option `--field_name`.

    default   its default; its type is the option's type (a False makes a flag)
    help      its meaning, with the unit; range and default are added to what `--help` prints
    bounds    interval of the legal numbers, e.g. "(0, 1)" or "[1, inf)"
    sentinel  one more legal number, outside the bounds, with a meaning of its own
    choices   legal strings
    kind      the option's type where the default cannot tell it: if that is None, which then may be given as the word
              None, or if the option is a path (`as_path`)
    metavar   what `--help` prints for the value
    names     further spellings of the flag
    group     heading in `--help`; default: that of `add_arguments`
    entries   for an option that is a list in text, which `read_lists` reads: float, int or the legal names; the text is
              one entry, or several as [a, b, c], (a, b, c) or a, b, c; `bounds` hold for each of them
    one       whether the list must have one entry
    follows   name of the option whose value is taken where this one has its default (`complete`)
    needs     the setting without which this option has no effect
    bare      the value of the option if it is given without one; None: it must have one
    """
    if bounds is not None:
        _parse_bounds(bounds)
    if follows and default is not None:
        sentinel = default
    metadata = {"help": help, "bounds": bounds, "sentinel": sentinel, "choices": choices, "kind": kind or type(default)}
    metadata |= {"metavar": metavar, "names": tuple(names), "group": group, "follows": follows, "needs": needs}
    metadata |= {"entries": entries, "one": one, "bare": bare}
    return dataclasses.field(default=default, metadata=metadata)


def add_arguments(parser, record, heading="options", choices=None):
    """Adds the options of the dataclass `record` to `parser`; those not given stay out of the namespace.

    choices  {option: further legal strings}
    """
    groups = {group.title: group for group in parser._action_groups}
    for field in dataclasses.fields(record):
        if "help" not in field.metadata:
            continue
        if choices and field.name in choices:
            legal = dict.fromkeys((*field.metadata["choices"], *choices[field.name]))
            field = copy.copy(field)
            field.metadata = {**field.metadata, "choices": tuple(legal)}
        _add_argument(parser, groups, field.metadata["group"] or heading, field)


def _add_argument(parser, groups, title, field):
    if title not in groups:
        groups[title] = parser.add_argument_group(title)
    how = {"dest": field.name, "default": argparse.SUPPRESS, "help": _help(field)}
    if isinstance(field.default, bool):
        how["action"] = "store_true"
    else:
        how |= {"type": _converter(field), "metavar": _metavar(field)}
        how |= {"nargs": "?", "const": field.metadata["bare"]} if field.metadata["bare"] is not None else {}
    groups[title].add_argument(f"--{field.name}", *field.metadata["names"], **how)


def add_rule_arguments(parser, record, rules, flag):
    """Adds the options of learning rules to a parser that has those of the dataclass `record`.

    rules  {name: rules._rule.Rule}
    flag   the option that names the rule
    """
    groups = {}
    for field, users in options_of_rules(record, rules).values():
        _add_argument(parser, groups, f"only with --{flag}={' or '.join(users)}", field)


def split_rule_arguments(given, record, rules, flag, rule):
    """Splits {option: value} of the options given into those of `record` and those of `rule`.

    Returns  ({option: value} given for `record`, {option: value} of all options of the rule, defaults included)
    Raises   UsageError for an option of another rule
    """
    of_rules = options_of_rules(record, rules)
    fields = [field for field in dataclasses.fields(rule.Options) if field.name in of_rules]
    own = {field.name: given.get(field.name, field.default) for field in fields}
    for name in given:
        if name in of_rules and name not in own:
            others = ", ".join(of_rules[name][1])
            raise UsageError(f"--{name}: does not apply to --{flag}={rule.name}, only to {others}")
    return {name: value for name, value in given.items() if name not in of_rules}, own


def options_of_rules(record, rules):
    """Returns {name: (field, names of the rules that have it)} of the rules' options that `record` lacks."""
    found, general = {}, {field.name for field in dataclasses.fields(record)}
    for rule in rules.values():
        for field in dataclasses.fields(rule.Options):
            if "help" in field.metadata and field.name not in general:
                found.setdefault(field.name, (field, []))[1].append(rule.name)
    return found


def first_paragraph(text):
    """Returns the first paragraph of a docstring; "" under python -OO, which drops docstrings."""
    return (text or "").split("\n\n")[0]


class _Version(argparse.Action):
    """Prints the version of the suite and its commit, which is asked for only then."""

    def __init__(self, option_strings, dest, help):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        print(parser.prog, machine.version_and_commit())
        parser.exit()


class Parser(argparse.ArgumentParser):
    """Parses a command line, with errors of one sentence; only the options `abbreviated` may be abbreviated."""

    def __init__(self, *, abbreviated=(), **settings):
        super().__init__(allow_abbrev=bool(abbreviated), **settings)
        self._abbreviated = abbreviated
        if self.add_help:
            told = "print the version and the commit of this program and exit"
            self.add_argument("--version", action=_Version, help=told)

    def _print_message(self, message, file=None):
        super()._print_message(message, Dropping(file or sys.stderr))

    def error(self, message):
        """Prints the message in one sentence and exits with status 2."""
        self.exit(2, f"{self.prog}: {printable(message)}\n")

    def parse_known_args(self, args=None, namespace=None):
        """Parses as argparse does, except that it refuses `--option=--`, which argparse takes for no value."""
        for word in sys.argv[1:] if args is None else args:
            if word.startswith("--") and word.endswith("=--"):
                self.error(f"{word}: -- is no value")
        return super().parse_known_args(args, namespace)

    def _get_option_tuples(self, option_string):
        found = super()._get_option_tuples(option_string)
        return found if len(found) != 1 or found[0][0].dest in self._abbreviated else []

    def parse_args(self, args=None, namespace=None):
        """Parses as argparse does, except that its error for an unknown option names the nearest known one."""
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            import difflib

            near = difflib.get_close_matches(unknown[0].split("=")[0], self._option_string_actions, n=1)
            quotes = "" if unknown[0].startswith("-") else "; a value with blanks needs quotes"
            hint = f"; did you mean {near[0]}?" if near else quotes
            self.error(f"{unknown[0]}: there is no such option{hint} (--help lists all)")
        return known


def as_path(text):
    """Returns the path that a command line means by `text`, with `~` replaced by the home folder."""
    try:
        return expanded(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{shortened(text)!r} {error}") from None


def as_output(text):
    """Returns the path of a file to be written: `as_path`, then checked by core.paths.unfit_output."""
    path = as_path(text)
    problem = unfit_output(path)
    if problem:
        raise argparse.ArgumentTypeError(f"{shortened(text)!r} {problem}")
    return path


def _converter(field):
    """Returns a function from the text of an option to its value; argparse adds the option's name to errors."""
    kind, bounds, choices = field.metadata["kind"], field.metadata["bounds"], field.metadata["choices"]

    def convert(text):
        if field.default is None and text == "None":
            return None
        if field.metadata["entries"]:
            return text
        if choices is not None:
            if text not in choices:
                raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(choices)}")
            return text
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {WORDS[kind]}") from None
        if bounds is not None and not within(value, bounds) and value != field.metadata["sentinel"]:
            raise argparse.ArgumentTypeError(f"{text} is out of range: must be in {_range(field)}")
        return value

    return convert


def complete(record, values):
    """Sets each option of `record` that follows another and has its default to that one's value, in place."""
    for field in dataclasses.fields(record):
        if field.metadata["follows"] and values[field.name] == field.default:
            values[field.name] = values[field.metadata["follows"]]


def read_lists(record, values):
    """Returns {option: tuple of entries, or the one entry} of options that are lists; raises UsageError."""
    fields = [field for field in dataclasses.fields(record) if field.metadata["entries"]]
    return {field.name: _read_list(field, values[field.name]) for field in fields}


def _read_list(field, text):
    inside = str(text).strip(" \"'")
    if inside[:1] + inside[-1:] in ("[]", "()"):
        # Python writes a tuple of one entry as (256,).
        inside = inside[1:-1].rstrip(" ").removesuffix(",")
    try:
        found = tuple(_read_entry(field.metadata, entry.strip(" \"'")) for entry in inside.split(","))
    except ValueError as error:
        raise UsageError(f"--{field.name}={text}: {error}") from None
    if field.metadata["one"] and len(found) > 1:
        raise UsageError(f"--{field.name}={text}: takes one number, not {len(found)}")
    return found[0] if field.metadata["one"] else found


def _read_entry(metadata, entry):
    kind, bounds = metadata["entries"], metadata["bounds"]
    if kind not in WORDS:
        if entry not in kind:
            raise ValueError(f"{entry!r} is not one of {', '.join(kind)}")
        return entry
    try:
        value = kind(entry)
    except ValueError:
        raise ValueError(f"{entry!r} is not {WORDS[kind]}") from None
    if not within(value, bounds):
        raise ValueError(f"{entry} is out of range: must be in {bounds}")
    return value


def within(value, bounds):
    """Returns whether `value` lies in the interval `bounds`, e.g. "(0, 1]"; nan and infinities never do."""
    opening, low, high, closing = _parse_bounds(bounds)
    above = value >= low if opening == "[" else value > low
    below = value <= high if closing == "]" else value < high
    return abs(value) != math.inf and above and below


def _parse_bounds(bounds):
    match = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", bounds)
    if not match:
        raise ValueError(f"{bounds!r} is not an interval such as '[0, 1)'")
    return match[1], float(match[2]), float(match[3]), match[4]


def _metavar(field):
    choices, kind = field.metadata["choices"], field.metadata["kind"]
    kind = float if field.metadata["one"] else kind
    usual = "{" + ",".join(choices) + "}" if choices else "PATH" if kind in (str, as_path) else kind.__name__.upper()
    return field.metadata["metavar"] or usual


def _range(field):
    bounds, sentinel = field.metadata["bounds"], field.metadata["sentinel"]
    return bounds if sentinel is None else f"{bounds} or {sentinel:g}"


def _help(field):
    source, needs = field.metadata["follows"], field.metadata["needs"]
    follows = f"; {'default' if field.default is None else f'{field.default:g}'}: {source}" if source else ""
    bounds = f", in {_range(field)}" if field.metadata["bounds"] else ""
    shown = f"; default {field.default}" if field.default not in ("", None) and field.default is not False else ""
    needed = f"; only with {needs}" if needs else ""
    return (field.metadata["help"] + follows + bounds + shown + needed).replace("%", "%%")
