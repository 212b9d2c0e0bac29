"""Holds what the figures of the toy experiments have in common: data files, drawing, and the command line."""

from pathlib import Path

from core.files import FileError, read_arrays
from core.options import UsageError, as_path
from core.program import complain, run_program
from figures.drawing import ENDINGS, check_outputs, picture_parser, save, tell


def read_data(path, shapes):
    """Returns {name: array} of a data file that core.files.write_arrays made.

    shapes  {name: letters, one per dimension}; the same letter stands for the same length
    Raises  FileError if the file is damaged or holds something else
    """
    arrays, lengths = read_arrays(path), {}
    for name, letters in shapes.items():
        if name not in arrays:
            raise FileError(f"{path} is not the data of this figure: it has no {name}")
        shape = arrays[name].shape
        fits = len(shape) == len(letters) and all(
            lengths.setdefault(*pair) == pair[1] for pair in zip(letters, shape, strict=True)
        )
        if not fits:
            raise FileError(f"{path} is not the data of this figure: {name} has shape {shape}")
    return arrays


def both(path):
    """Returns the names of a picture in all formats: [path.png, path.pdf]."""
    return [f"{path}{kind}" for kind in ENDINGS]


def save_all(figures):
    """Writes {path: matplotlib.figure.Figure}; returns the paths.  Raises FileError."""
    for path, figure in figures.items():
        save(figure, path)
    return list(figures)


def draw_or_note(write, data, outputs):
    """Draws the saved data of an experiment and prints the paths, or prints a note if matplotlib is missing.

    write    function (data, outputs) -> paths
    Returns  whether it was drawn
    Raises   FileError
    """
    try:
        paths = write(data, outputs)
    except UsageError as error:
        complain(f"note: {data} is complete but not drawn: {error}")
        return False
    tell([data, *paths])
    return True


def run(script, description, write, default, argv=None):
    """Runs the command line of a figure of one data file, DATA --output FILE; returns the exit status.

    script   path of the figure's module
    write    function (data, outputs) -> paths
    default  name of the picture in the folder of the data, without ending
    """
    name = Path(script).name
    parser = picture_parser(name, description, f"{default}.png next to DATA")
    parser.add_argument("data", type=as_path, metavar="DATA", help="file that the experiment saved")
    given = parser.parse_args(argv)

    def draw():
        outputs = given.output or [str(Path(given.data).with_name(f"{default}.png"))]
        check_outputs(outputs, inputs=[given.data])
        tell(write(given.data, outputs))
        return 0

    return run_program(name, draw, "interrupted")
