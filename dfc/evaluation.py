"""Measures loss and accuracy after every epoch of system 2, and decides whether these end the run.

The sources are docs/published/dfc.md I.4 and I.6, and docs/published/strong_dfc.md 7.
"""

from tqdm import tqdm

from core.backend import array_module, to_host
from core.roles import Watcher
from datasets.catalogue import BY_FLAG
from dfc.network import forward
from dfc.protocol import PROTOCOLS
from utils import count_correct

# Batches in one forward pass.
CHUNK = 8
LARGEST_WEIGHT = 1000.0
# Epochs before the first test; before the test for a plateau; its length.
PATIENCE, PLATEAU_PATIENCE, PLATEAU = 4, 10, 10


class Evaluation(Watcher):
    """Measures loss and accuracy on the validation samples, if there are any, and on the test samples.

    The columns are loss_val, acc_val, loss_test and acc_test.

    settings  dfc.settings.records.EvaluationSettings
    task      dfc.tasks.Task
    workers   core.backend.Workers
    """

    def __init__(self, settings, task, workers):
        self.settings, self.workers = settings, workers
        self.sets = {name: samples for name, samples in (("val", task.validation), ("test", task.test)) if samples}

    def row(self, net, epoch):
        """Returns {column: number} of losses and accuracies."""
        settings, found = self.settings, {}
        total = sum(map(len, self.sets.values()))
        with tqdm(
            total=total, desc="measuring", unit="sample", leave=False, delay=2, disable=settings.quiet or None
        ) as bar:
            how = (self.workers, settings.classification, bar.update, settings.weighted, settings.first_batches)
            for name, samples in self.sets.items():
                loss, accuracy = evaluate(net, samples, settings.batch_size, *how)
                found |= {f"loss_{name}": loss} | ({f"acc_{name}": accuracy} if settings.classification else {})
        return found


def evaluate(net, samples, batch_size, workers, classification, tick=None, weighted=False, batches=0):
    """Returns (loss, accuracy) as the published programs define them: means over the batches.

    A short last batch counts as much as the others (docs/published/dfc.md I.4).

    net             FeedbackNetwork
    samples         datasets.samples Images or Arrays
    batch_size      samples in a batch, in file order
    workers         core.backend.Workers
    classification  whether targets are labels; else the accuracy is None
    tick            function of a number of samples, called when these are done
    weighted        whether every sample counts as much as any other, so that a short last batch counts less
                    (docs/published/strong_dfc.md 1)
    batches         number of batches that are measured, the first ones; 0: all
    Returns         Python floats; the device is waited for once
    """
    measured, counts = [], []
    end = min(len(samples), batches * batch_size or len(samples))
    for start in range(0, end, CHUNK * batch_size):
        inputs, target = samples.batch(slice(start, min(start + CHUNK * batch_size, end)))
        output = forward(net, inputs, workers).r[-1]
        for first in range(0, len(output), batch_size):
            some, wanted = output[first : first + batch_size], target[first : first + batch_size]
            loss = net.loss.value(some, wanted)
            right = count_correct(some, wanted).astype(loss.dtype) / len(some) if classification else loss
            measured.append(array_module(output).stack([loss, right]))
            counts.append(len(some))
        if tick:
            tick(len(inputs))
    rows = array_module(*measured).stack(measured)
    if weighted:
        shares = [count * len(counts) / sum(counts) for count in counts]
        rows *= array_module(rows).asarray(shares, dtype=rows.dtype)[:, None]
    loss, right = to_host(rows.mean(axis=0)).tolist()
    return loss, right if classification else None


class StopCondition(Watcher):
    """Ends a run whose weights blow up, whose accuracy stays low or whose loss no longer falls.

    settings  dfc.settings.records.StoppingSettings
    net       the network that is trained
    """

    def __init__(self, settings, net):
        self.settings, self.net = settings, net

    def stop(self, series):
        """Returns why the run should end, or None."""
        settings, reference = self.settings, self.settings.rule.reference
        if settings.min_acc > 0.0 and len(series["epoch"]) >= PATIENCE and series["acc_train"][-1] < settings.min_acc:
            return f"the training accuracy is below {settings.min_acc:g} after {PATIENCE} epochs or more"
        if not PROTOCOLS[settings.protocol].early_stops:
            return None
        epoch = len(series["epoch"]) - 1
        if not reference and beyond_bounds(self.net, symmetric=settings.nan_test == "symmetric"):
            return f"a weight is beyond {LARGEST_WEIGHT:g}"
        if epoch <= PATIENCE or (settings.evaluate and not reference):
            return None
        about = BY_FLAG[settings.dataset]
        least = about.least_bp if reference else about.least
        if least and series["acc_train"][-1] < least:
            return f"the training accuracy is below {least} after more than {PATIENCE} epochs"
        if settings.task == "regression" and not reference and epoch > PLATEAU_PATIENCE:
            losses = series["loss_train"]
            if min(losses[-PLATEAU:]) >= min(losses[:-PLATEAU]):
                return f"the training loss has not fallen for {PLATEAU} epochs"
        return None


def beyond_bounds(net, symmetric=False):
    """Returns whether a weight is not a number or above 1000.

    As published, large negative weights pass unless `symmetric`.
    """
    xp = array_module(*net.arrays)
    ordinary = [xp.all((abs(p) if symmetric else p) <= LARGEST_WEIGHT) for p in net.arrays]
    return not bool(xp.stack(ordinary).all())
