"""Tells how the runs of run.py ended and what to do next."""

import shlex

from core.program import say, tell_end
from gait.settings import runs_of

ENDINGS = {
    "finished": "finished {epochs} epochs: test accuracy {accuracy}",
    "stopped": "stopped after epoch {epoch}: {reason}; results in {path}",
    "interrupted": "interrupted in epoch {begun} and saved in {path}; the same command with --load continues it",
    "diverged": "diverged in epoch {epoch}: the loss is too large or not a number; try a smaller --learning_rate",
    "singular": "stopped in epoch {epoch}: {reason}, so that {algorithm} has no targets; try --orthogonal_init "
    "or a larger --orthogonal_reg",
}
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

    who  the beginning of the sentence
    """
    accuracy = f"{100 * outcome['test_acc']:.2f} %" if "test_acc" in outcome else ""
    status = tell_end(outcome, ENDINGS, path, who, accuracy=accuracy, algorithm=options.algorithm)
    if outcome["outcome"] == "finished" and not options.quiet and not who:
        array = str(path / "0Lweights.npy")
        say(NEXT.format(path=path, quoted=shlex.quote(str(path)), array=array, more=10 * outcome["epochs"]))
    return status
