"""Defines what may follow a run: measurements, pictures, logs, conditions that end it."""


class Watcher:
    """Follows a run without changing it: the base of everything that measures, draws, logs or asks for an end.

    The loop calls every method of every watcher, in the order of its list; a watcher overrides those that it needs.
    """

    def wants(self, place):
        """Returns whether to be shown a batch by `batch` and `moved`; asked before each step.

        place  of the batch, (passes before, batches before in this pass)
        """
        own = type(self)
        return own.batch is not Watcher.batch or own.moved is not Watcher.moved

    def batch(self, report):
        """Looks at one batch; `report` is what the learner tells of it (dfc.learners.BatchReport)."""

    def moved(self, report):
        """Looks at the same batch once more, after the update of the weights that the report is about."""

    def row(self, net, epoch):
        """Returns {column: number} for the row of the series that is being made; columns that end in _loss must stay below
        LARGEST_LOSS, or the run has diverged.

        net    the network to measure
        epoch  number of epochs that the row counts
        """
        return {}

    def written(self, series):
        """Looks at the series, {column: list of numbers}, whenever it has been written."""

    def stop(self, series):
        """Returns None, or a clause that says why to stop; asked after every whole epoch."""

    def flush(self):
        """Hands over to the disk what was written; called before every checkpoint."""

    def close(self):
        """Closes what is open; called when the folder of the run is closed."""

    def summary(self):
        """Returns {entry: value} for the summary of the run (dfc.measures.summary)."""
        return {}

    def state(self):
        """Returns {name: array} for the checkpoint; names of what was only measured begin with "seen_"."""
        return {}

    def restore(self, named):
        """Continues from a checkpoint, {name: host array}; names that are missing start empty."""
