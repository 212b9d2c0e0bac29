"""Holds what the figures have in common: styles of curves, empty figures, files, and the command line."""

import io
from pathlib import Path

from core import drawing
from core.drawing import DPI, default_style
from core.files import is_stream, make_folder, replacing
from core.options import Parser, UsageError, add_arguments, as_output, as_path
from core.program import complain, run_program
from core.recording import prepare_outputs
from figures.runs import read_runs

ENDINGS = (".png", ".pdf")
# Markers along a curve: enough to follow it, few enough to see the line.
MARKS = 8
# Three properties that repeat after 7, 4 and 6 curves, so that no two of the first 84 look alike, with or without
# colour.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
DASHES = ("solid", (0, (5, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (1.5, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P")


def curve_style(index, colours=COLOURS):
    """Returns colour, dash and marker of a curve; `index` counts the curves from 0."""
    style = {"color": colours[index % len(colours)], "linestyle": DASHES[index % len(DASHES)]}
    return style | {"marker": MARKERS[index % len(MARKERS)], "markersize": 4.5}


def new_figure(width, height):
    """Returns the figure of core.drawing.new_figure, with a margin."""
    figure = drawing.new_figure(width, height)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    return figure


def plain(axes):
    """Draws a grid behind the curves, and no frame above them or on their right."""
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure, path):
    """Writes a figure as PNG or PDF, as the ending of `path` says.

    Raises  UsageError for another ending, FileError
    """
    kind = ending(path)
    content = io.BytesIO()
    # Without the date, the same numbers make the same file.
    figure.savefig(content, format=kind[1:], dpi=DPI, metadata={"CreationDate": None} if kind == ".pdf" else None)
    with replacing(path) as file:
        file.write(content.getvalue())


def ending(path):
    """Returns the ending of a picture's name, in lower case; .png for a device or pipe.

    Raises  UsageError if it is not one of ENDINGS
    """
    kind = Path(path).suffix.lower()
    if kind not in ENDINGS and is_stream(path):
        return ENDINGS[0]
    if kind not in ENDINGS:
        raise UsageError(f"--output={path}: the name must end in {' or '.join(ENDINGS)}")
    return kind


def tell(paths):
    """Prints the paths that were written, one per line.

    Devices and pipes are left out, because the picture itself may go to this output.
    """
    for path in paths:
        if not is_stream(path):
            print(path)


def picture_parser(name, description, default, **settings):
    """Returns a Parser with the option --output, a list of files, of a script that draws."""
    parser = Parser(prog=name, description=description, **settings)
    told = f"picture to write, PNG or PDF, repeatable; default {default}"
    parser.add_argument("--output", action="append", type=as_output, metavar="FILE", help=told)
    return parser


def check_outputs(outputs, others=(), inputs=()):
    """Raises UsageError or FileError for pictures that cannot be written; see core.recording.prepare_outputs."""
    for path in outputs:
        ending(path)
    prepare_outputs(*outputs, *others, inputs=inputs)


def write_pictures(figure, outputs):
    """Writes a figure to each of the outputs, and tells of it."""
    for path in outputs:
        save(figure, path)
        tell([path])


def draw_runs(script, description, folders, default, record, picture, argv, read=read_runs):
    """Runs the command line of a figure of run folders, RUN_FOLDER … --output FILE; returns the exit status.

    script   path of the figure's module
    folders  (what they must be, an example of several)
    default  picture to write
    record   dataclass of further options
    picture  function (result of `read`, record) -> (Figure, notes for stderr)
    read     function of the paths that were given
    """
    name = Path(script).name
    parser = picture_parser(name, description, default, epilog=f"Several runs: {folders[1]}")
    parser.add_argument("folders", nargs="+", type=as_path, metavar="RUN_FOLDER", help=folders[0])
    add_arguments(parser, record)
    given = vars(parser.parse_args(argv))
    paths, outputs = given.pop("folders"), given.pop("output") or [default]

    def run():
        check_outputs(outputs, [value for value in given.values() if isinstance(value, str)])
        runs = read(paths)
        if outputs == [default]:
            make_folder(Path(default).parent)
        with default_style():
            figure, notes = picture(runs, record(**given))
            write_pictures(figure, outputs)
        for note in notes:
            complain(note)
        return 0

    return run_program(name, run, "interrupted")
