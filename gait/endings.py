"""Tells how the runs of run.py ended and what to do next."""

import shlex

from core.program import EXIT_DIVERGED, complain, say
from gait.settings import runs_of

NEXT = """files: {path}
next:
  continue this run        the same command with --load --nb_epochs={more}
  draw its curves          python figures/learning_curves.py {quoted}
  load its weights         numpy.load({array!r})
  all options              python run.py --help"""


def conclude_all(options, ended):
    """Prints how every run ended; returns the exit status: that of an interruption, else the gravest."""
    if len(ended) == 1:
        outcome, folder = ended[0]
        return conclude(options, outcome, folder.path)
    statuses = [
        conclude(each, outcome, folder.path, f"seed {each.seed}: ")
        for each, (outcome, folder) in zip(runs_of(options), ended, strict=True)
    ]
    return max(statuses)


def conclude(options, outcome, path, who=""):
    """Prints how the run ended and, if it is the only one, what to do next; returns the exit status.

    who  the beginning of every sentence
    """
    kind = outcome["outcome"]
    if kind == "finished":
        say(f"{who}finished {outcome['epochs']} epochs: test accuracy {100 * outcome['test_acc']:.2f} %")
        if not options.quiet and not who:
            array = str(path / "0Lweights.npy")
            say(NEXT.format(path=path, quoted=shlex.quote(str(path)), array=array, more=10 * outcome["epochs"]))
        return 0
    if kind == "interrupted":
        say(f"{who}interrupted in epoch {outcome['epoch'] + 1} and saved in {path}; the same command with --load continues it")
        return 128 + outcome["signal"]
    reason = {
        "diverged": f"diverged in epoch {outcome['epoch']}: the loss is too large or not a number; try a smaller --learning_rate",
        "singular": f"stopped in epoch {outcome['epoch']}: {outcome.get('reason')}, so that {options.algorithm} has no "
        "targets; try --orthogonal_init or a larger --orthogonal_reg",
    }[kind]
    complain(f"{who}{reason}. Everything saved before stays in {path}")
    return EXIT_DIVERGED
