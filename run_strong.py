"""Trains by a published command line of Strong-DFC: `run_strong.py PROGRAM` and its published flags.

PROGRAM is bp, dfa, dfc (two phases: DFC, and with --strong_feedback --ss Strong-DFC (2-phase)) or
dfc_single_phase (with --strong_feedback Strong-DFC). Every flag is translated into flags of main.py, which does
the work (docs/strong_dfc.md).

Meulemans, Tristany Farinha, Cervera, Sacramento, Grewe, "Minimizing Control for Credit Assignment with Strong
Feedback", ICML 2022, arXiv:2204.07249.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from core.signals import start

    start()

import argparse
import dataclasses

import main as program
from configs import to_argv
from core.errors import UserError
from core.options import Parser, UsageError, add_arguments
from core.program import run_program
from dfc import settings as command_line
from dfc.settings.flags import SUITE
from dfc.settings.flags import Options as MainOptions
from dfc.settings.strong_flags import PROGRAMS, StrongOptions, in_published_words, translate
from rules import FEEDBACK_NET_RULES

PUBLISHED = tuple(StrongOptions.__dataclass_fields__)
# Flags of main.py that are accepted in addition to those of its machine.
EXTRA = ("protocol", "defects", "save_logs", "log_interval")


def parser():
    """Returns the parser of PROGRAM, the published flags, and the flags of main.py about the machine."""
    form = argparse.RawDescriptionHelpFormatter
    found = Parser(prog="run_strong.py", description=__doc__, abbreviated=PUBLISHED, formatter_class=form)
    found.add_argument("program", choices=tuple(PROGRAMS), help="which published program")
    add_arguments(found, StrongOptions)
    add_arguments(found, _machine())
    return found


def _machine():
    """Returns a record of the flags of main.py that are passed on unchanged."""
    chosen = [f for f in dataclasses.fields(MainOptions) if f.metadata["group"] == SUITE or f.name in EXTRA]
    fields = [(f.name, f.type, dataclasses.field(default=f.default, metadata=f.metadata)) for f in chosen]
    return dataclasses.make_dataclass("Machine", [each for each in fields if each[0] not in PUBLISHED], frozen=True)


def command(argv=None):
    """Returns the command line of main.py that follows from one of this script; a mistake ends the program."""
    reader = parser()
    given = vars(reader.parse_args(argv))
    name = given.pop("program")
    try:
        flags = translate(name, {flag: value for flag, value in given.items() if flag in PUBLISHED})
    except UsageError as error:
        reader.error(str(error))
    return to_argv(flags | {flag: value for flag, value in given.items() if flag not in PUBLISHED})


def main(argv=None):
    """Runs one command line; returns the exit status, which is that of main.py."""

    def run():
        reader, words = Parser(prog="run_strong.py"), command(argv)
        command_line.add_flags(reader, FEEDBACK_NET_RULES)
        given = vars(reader.parse_args(words))
        try:
            settings = command_line.resolve(given, FEEDBACK_NET_RULES)
            notes = tuple(map(in_published_words, settings.notes))
            return program.train_or_rehearse(dataclasses.replace(settings, notes=notes))
        except UserError as error:
            raise UsageError(in_published_words(str(error))) from error

    return run_program("run_strong.py", run)


if __name__ == "__main__":
    sys.exit(main())
