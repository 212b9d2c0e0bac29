"""Draws the progress of a sweep: a bar over the epochs of its runs, with the time left."""

from tqdm import tqdm

from core.files import read_bytes


class Progress:
    """Draws a progress bar over the runs of a sweep.

    The time left is estimated from the epochs done since it began.
    """

    def __init__(self, runs, over, overwrite, quiet):
        self._ended, self._count = len(over), len(runs)
        self._done = {job.name: 0 if overwrite else epochs_done(job) for job in runs if job not in over}
        whole = sum(_weight(job, job.epochs) for job in runs)
        done = whole - sum(_weight(job, job.epochs - self._done[job.name]) for job in runs if job not in over)
        form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, left: {remaining}"
        self._bar = tqdm(total=whole, initial=done, bar_format=form, smoothing=0, disable=quiet or None)
        self._tell()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._bar.close()

    def reached(self, job, epoch):
        """Counts the epochs of a run up to this one."""
        new = min(epoch, job.epochs) - self._done[job.name]
        if new > 0:
            self._done[job.name] += new
            self._bar.update(_weight(job, new))

    def end(self, job):
        """Counts a run that has ended, and subtracts the epochs that it has not done from the total."""
        self._bar.total -= _weight(job, job.epochs - self._done[job.name])
        self._ended += 1
        self._tell()

    def _tell(self):
        self._bar.set_description_str(f"{self._ended} of {self._count} runs")


def _weight(job, epochs):
    return max(epochs, 0) * job.cost


def epochs_done(job):
    """Returns the last epoch in the series of a job's run; 0 if there is none yet."""
    try:
        last = read_bytes(job.folder / "metrics.csv").decode().rstrip().rpartition("\n")[2]
        return int(last.partition(",")[0])
    except (OSError, ValueError):
        return 0
