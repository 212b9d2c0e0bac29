"""What a run of system 2 reports beside its series: measurements in the summary, TensorBoard files, pictures."""

import numpy as np

from core.drawing import require_matplotlib
from core.files import write_text
from dfc.measures.events import EventFile, Steps, require_tensorboard
from dfc.measures.measures import SUMMARY_FRAMES, search_damping
from dfc.measures.pictures import SHOWN, DynamicsPlot, save_reconstructions
from dfc.measures.summary import NOT_YET, Frame
from dfc.measures.tensorboard import Log

VECTORS = tuple(f"{name}_{moment}" for name in ("max_eig", "max_eig_bcn", "norm_r", "dev_r") for moment in ("mean", "std"))


def summary_entries(settings, watchers):
    """The measurements' part of the published summary (dfc.md I.7): arrays, lists of keys, numbers, and with save_df the frames."""
    entries = {"log_interval": settings.log_interval}
    if settings.rule.controlled:
        entries |= {name: np.zeros(1) for name in (*VECTORS, "dist_to_NDI")}
    for name, values in watchers.vectors().items():
        entries[name] = values if name.endswith("_keys") else np.array(values)
    if settings.rule.learns_feedback and settings.epochs_fb and not settings.freeze_fb_weights:
        entries["gn_condition_init"] = NOT_YET
    entries |= watchers.numbers()
    if settings.save_df and not settings.rule.reference:
        for name, (steps, columns, values) in watchers.frames().items():
            if name in SUMMARY_FRAMES:
                entries[name] = Frame(steps, columns, values)
    return entries


def check_reports(settings):
    """Raise UsageError where a flag asks for what needs a package that is not installed."""
    if settings.save_logs:
        require_tensorboard()
    if settings.make_dynamics_plot and settings.rule.simulates:
        require_matplotlib("--make_dynamics_plot:")
    if settings.plot_autoencoder_images:
        require_matplotlib("--plot_autoencoder_images:")


def attach_reports(settings, run, draws, folder, batches):
    """Let the run's learners and folder write what the flags ask for, into the folder.

    run     dfc.build.Run
    draws   dfc.draws.Draws
    folder  dfc.measures.summary.SummaryFolder
    batches number of batches in a pass
    """
    folder.extra = lambda: summary_entries(settings, run.watchers) | folder.further
    if settings.save_logs:
        steps = Steps(lambda passed: run.plan.learner(passed) is run.learner, batches, settings.log_interval)
        log = Log(EventFile(folder.path), run.watchers, steps)
        folder.listeners.append(log.write_epoch)
        folder.logs.append(log.writer)
        run.learner.watchers.append(log.watch_forward(run.learner))
        for learner in (run.feedback, run.pretraining):
            if learner:
                learner.watchers.append(log.watch_feedback(learner))
    if settings.make_dynamics_plot and settings.rule.simulates:
        prelude, epoch = len(run.plan.prelude), len(run.plan.epoch)
        plot = DynamicsPlot(
            run.learner.net,
            run.learner.options,
            draws.noise,
            folder.path,
            lambda passed: (passed - prelude) // epoch,
            settings.make_dynamics_plot_interval,
            settings.compare_with_ndi,
        )
        run.learner.watchers.append(plot)


def reconstruction_probe(net, task, folder, loop):
    """A probe that draws what an autoencoder makes of the first images of each set, after every epoch; it measures nothing."""

    def probe():
        for name, samples in (("validation", task.validation), ("test", task.test)):
            if samples:
                images, _ = samples.batch(slice(SHOWN))
                output = net.forward(images).r[-1]
                save_reconstructions(folder / "autoencoder_images", name, loop.epoch, images, output)
        return {}

    return probe


SEARCH_AFTER = 3  # epochs


def search_damping_then_stop(settings, run, samples, folder):
    """The plan's stop condition with the search for gn_damping after the third epoch, which ends the run (dfc.md G.10).

    One pass in file order without updates; writes optimal_gnt_damping_constant.txt and the summary entry gn_damping_values.
    """
    learner, inner = run.learner, run.plan.stop

    def logged_batches():
        size = settings.batch_size
        for number in range(0, -(-len(samples) // size), settings.log_interval):
            batch = samples.batch(slice(number * size, (number + 1) * size))
            yield learner.look(*batch, (run.plan.passes(SEARCH_AFTER), number))

    def stop(series):
        if len(series["epoch"]) != SEARCH_AFTER:
            return inner(series)
        found = search_damping(learner.net, logged_batches())
        write_text(folder.path / "optimal_gnt_damping_constant.txt", found.text)
        folder.further["gn_damping_values"] = found.best
        return f"as --gn_damping_hpsearch asks: {found.best:g} is best, see optimal_gnt_damping_constant.txt"

    return stop
