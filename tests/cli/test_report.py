"""report.py: what its page says, that it stands alone, and that it looks right in a browser."""

import csv
import html.parser
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import report
from tables.published import COLUMNS
from tests.runs_for_tests import ENDS, make_run

pytest.importorskip("jinja2")
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "<img src=x onerror=alert(1)>&\"'"
CELLS = [
    ["dfc", "Fashion-MNIST", "DFC-SSA", "test error %, best validation epoch", "37.50", "0.50", "2", "2", "3600",
     "run_seed_robustness.py --config_module=configs.configs_fmnist.fmnist_dfc_ssa --name=ssa", "a paper"],
    ["gait", "FMNIST square 1", EVIL, "test accuracy %, last epoch", "", "", "2", "2", "9",
     "run.py --algorithm=GAIT --dataset=FMNIST", "another"],
    ["dfc", "Fashion-MNIST", "BP", "test error %, best validation epoch", "10.60", "", "5", "100", "1800",
     "run_seed_robustness.py --config_module=configs.configs_fmnist.fmnist_bp --name=bp", "a paper"],
    ["dfc", "Fashion-MNIST", "gone", "test error %, best validation epoch", "1.00", "", "5", "100", "9",
     "run_seed_robustness.py --config_module=configs.nowhere --name=gone", "a paper"],
    ["dfc", "MNIST", "BP", "test error %, best validation epoch", "9.87", "", "5", "100", "9", "", "a paper"],
]  # fmt: skip


def write_cells(path, cells=CELLS):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *cells])
    return path


def settings_of(command):
    """The settings that a cell's runs have, as their programs would write them down."""
    import campaign
    from tables.published import Cell

    cell = Cell("t", "t", "t", "test accuracy %, last epoch", None, None, 2, 2, 1.0, command, "", 2)
    settings = campaign.jobs_of(cell, campaign.Selection(nb_seeds=1))[0].settings
    return {name: value for name, value in settings.items() if name not in ("seed", "random_seed")}


@pytest.fixture
def place(tmp_path):
    """Runs of two cells of a small table, one of which diverged, and one run of none."""
    ssa, gait = settings_of(CELLS[0][9]), settings_of(CELLS[1][9])
    rows = "epoch,batch,loss_train,acc_train,loss_val,acc_val,loss_test,acc_test,seconds\n"
    for seed, accuracy in ((1, 0.62), (2, 0.64)):
        text = f"{rows}1,0,0.5,0.7,0.6,0.5,0.7,0.5,3.0\n2,0,0.4,0.8,0.5,0.6,0.6,{accuracy},5.0\n"
        make_run(tmp_path / "logs" / "ssa" / f"seed_{seed}", seed=seed, rows=text, **ssa)
    make_run(tmp_path / "logs" / EVIL.replace("/", "_"), "run.py", seed=1, **gait)
    log = f"epoch 1/2\nrun.py: diverged in epoch 2 {EVIL}\n"
    end = {"outcome": "diverged", "epoch": 2}
    make_run(tmp_path / "logs" / "wild", "run.py", seed=2, done=end, log=log, **gait)
    make_run(tmp_path / "logs" / "foreign", seed=7, network_type="DFA")
    write_cells(tmp_path / "cells.csv")
    return tmp_path


def draw(place, *runs, status=0):
    output = place / "report.html"
    words = [*map(str, runs or [place / "logs"]), "--cells", str(place / "cells.csv"), "--output", str(output)]
    assert report.main(words) == status
    return output.read_text()


class Page(html.parser.HTMLParser):
    """Tags and attributes of a page, its ids, the texts of its cells by table, all text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.text, self.open = [], {}, [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag == "table":
            self.table = self.tables[attributes.get("id", len(self.tables))] = []
        elif tag == "tr":
            self.table.append([])
        elif tag in ("td", "th"):
            self.table[-1].append("")
            self.open.append(tag)
        elif tag in ("style", "script"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.table[-1][-1] += " ".join(data.split()) + " "


def test_the_cells_hold_published_ours_and_the_difference(place):
    page = Page(draw(place))
    header, ssa, bp, gone, mnist = page.tables["t-dfc"]
    assert [word.strip() for word in header][:5] == ["task", "method", "published", "ours", "n"]
    # 38 and 36: mean 37, deviation sqrt(2); 37.5 +- 0.5 published, n 2 and 2
    assert (
        ssa[2].split() == ["37.50", "±", "0.50"] and ssa[3].split() == ["37.00", "±", "1.41"] and ssa[4].strip() == "2"
    )
    # s = sqrt(2/2 + 0.25/2) = 1.0607, nu = 1.125^2 / (1 + 0.015625) = 1.2462, t.975 = 8.02: the interval is -0.5 +- 8.5
    low, high = (float(word.strip("[],").replace("\N{MINUS SIGN}", "-")) for word in ssa[5].split()[1:])
    assert (
        ssa[5].split()[0] == "\N{MINUS SIGN}0.50" and -9.3 < low < -8.2 and low + high == pytest.approx(-1, abs=0.011)
    )
    assert "complete" in ssa[8] and "2 of 2 runs in float32" in ssa[8] and "2 of 2" in ssa[6]
    assert "run_seed_robustness.py" in ssa[9] and "--single_precision" in ssa[9]
    assert "not run" in bp[8] and bp[3].strip() == "–"
    assert (
        "command refused" in gone[8] and "line 5: --config_module=configs.nowhere: there is no such module" in gone[8]
    )
    assert "no command yet" in mnist[8] and mnist[9].strip() == "–"
    _, gait = page.tables["t-gait"]
    # The last test accuracy is 0.5, of one run.
    assert gait[3].strip() == "50.00" and gait[5].strip() == "–"
    assert "1 of 2 runs in float32" in gait[8] and "seed 2 diverged in epoch 2" in gait[8]
    assert "the published number is in none of our sources" in gait[8]


def test_markdown_holds_the_cells_of_the_page(place):
    table = place / "cells.md"
    page = Page(draw(place, place / "logs", "--markdown", table))
    lines = [line for line in table.read_text().splitlines() if line.startswith("| ")]
    header, ssa = [[word.strip() for word in line.strip("|").split(" | ")] for line in lines[:2]]
    shown = [" ".join(word.split()) for word in page.tables["t-dfc"][1]]
    # Two lines are headings.
    assert len(lines) == len(CELLS) + 2
    assert (
        ssa[1:5] == shown[1:5]
        and ssa[header.index("difference, 95 % interval")] == shown[5]
        and ssa[6] == shown[6] == "2 of 2"
    )
    assert (
        ssa[header.index("command")].strip("`") in shown[9] and "2 of 2 runs in float32" in ssa[header.index("state")]
    )


def test_without_a_published_spread_the_interval_is_that_of_our_mean(place):
    """Student's t.975 of one degree of freedom is 12.706; n = 2, s = sqrt(2): the half width is 12.706."""
    cells = [[*CELLS[0][:5], "", *CELLS[0][6:]]]
    write_cells(place / "cells.csv", cells)
    difference = Page(draw(place)).tables["t-dfc"][1][5]
    assert difference.split() == ["\N{MINUS SIGN}0.50", "[\N{MINUS SIGN}13.21,", "+12.21]", "†"]


def test_the_cells_in_docs_are_those_of_the_packed_runs(tmp_path):
    docs = Path(report.__file__).parent / "docs"
    table = tmp_path / "cells.md"
    assert (
        report.main([str(docs / "results" / "runs"), "--output", str(tmp_path / "page.html"), "--markdown", str(table)])
        == 0
    )
    assert table.read_text() == (docs / "cells.md").read_text()


def test_failures_come_before_everything_else_with_the_end_of_their_log(place):
    text = draw(place)
    failed, table = text.index("diverged in epoch 2 &lt;img"), text.index('id="t-dfc"')
    assert text.index("Runs that failed") < failed < text.index("Cells not yet run") < table
    # BP: 1800 s, 100 epochs, 5 seeds; what has no command that can be run takes no time
    assert "3 of 4, about 250 hours on one core" in " ".join(text.split())


def test_names_with_markup_are_text(place):
    page = Page(draw(place))
    assert not any(tag == "img" or "onerror" in attributes for tag, attributes in page.tags)
    # These are the method, the folder and the log.
    assert "".join(page.text).count(EVIL) >= 3


def test_the_page_stands_alone_and_is_sound(place):
    text = draw(place)
    page = Page(text)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attributes.get(name) or ""
            assert value.startswith("#") or value in ("", "data:,"), f"{tag} {name}={value}"
        assert tag not in ("iframe", "object", "embed", "base")
    assert not re.search(r"https?://(?!www\.w3\.org)", re.sub(r"arXiv:\S+", "", text)) and "@import" not in text
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert max(ids.values()) == 1
    links = {attributes["href"][1:] for tag, attributes in page.tags if (attributes.get("href") or "").startswith("#")}
    assert links - set(ids) == set()
    tags = Counter(tag for tag, _ in page.tags)
    assert tags["caption"] == tags["table"] and tags["figure"] == tags["figcaption"] == 2
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    told = [words["aria-label"] for _, words in page.tags if words.get("role") == "img" and "aria-label" in words]
    assert len(told) == 2 and "Test error % by epoch. DFC-SSA 37.00 at epoch 2" in told[0]


def test_the_same_runs_make_the_same_bytes(place):
    first = draw(place)
    words = [sys.executable, str(report.__file__), "logs", "--cells=cells.csv", "--output=again.html"]
    subprocess.run(words, cwd=place, check=True, capture_output=True, timeout=120)
    again = (place / "again.html").read_text()
    assert again == first.replace(f"{place}/", "")


def test_moved_packed_and_mixed_runs_are_the_same_cells(place):
    import tidy

    first = Page(draw(place)).tables["t-dfc"]
    assert tidy.main([str(place / "logs"), "--pack", str(place / "packed" / "runs.tar.gz")]) == 0
    assert Page(draw(place, place / "packed")).tables["t-dfc"] == first
    shutil.move(place / "logs" / "ssa", place / "moved")
    config = json.loads((place / "moved" / "seed_1" / "config.json").read_text())
    (place / "moved" / "seed_1" / "config.json").write_text(json.dumps(config | {"git_commit": "other"}))
    moved = Page(draw(place, place / "moved")).tables["t-dfc"]
    assert [row[:8] for row in moved] == [row[:8] for row in first]
    assert "runs of different program versions" in moved[1][8]


def test_angles_are_drawn_where_they_were_measured(place):
    folder = place / "logs" / "ssa" / "seed_1"
    (folder / "gnt_angles_network.csv").write_text(",0\n1,30.5\n2,20.25\n")
    rows = (place / "logs" / "wild" / "metrics.csv").read_text().splitlines()
    lines = [f"{row},{extra}" for row, extra in zip(rows, ("bp_angle", "3", "4", "5"), strict=True)]
    (place / "logs" / "wild" / "metrics.csv").write_text("\n".join(lines) + "\n")
    text = draw(place)
    assert "FMNIST, angle with the minimum-norm update" in text and "DFC-SSA 20.25 at logged batch 2" in text
    assert "FMNIST, angle with backpropagation&#39;s" in text and "GAIT 5.00 at epoch 2" in text


def test_without_any_run_every_cell_waits(place):
    (place / "empty").mkdir()
    text = draw(place, place / "empty")
    assert "empty holds no run" in text and "0 / 5" in text
    assert report.main(["--cells", str(place / "cells.csv"), "--output", str(place / "report.html")]) == 0


@pytest.mark.parametrize(
    "words, text",
    [
        (["nowhere"], "nowhere is not there"),
        (["--cells=none.csv"], "cannot read none.csv"),
        (["--output=no/such/folder.html"], "cannot write no/such/folder.html"),
    ],
)
def test_mistakes_are_one_sentence(place, monkeypatch, capsys, words, text):
    monkeypatch.chdir(place)
    assert report.main(words) == 2
    message = capsys.readouterr().err
    assert text in message and message.startswith("report.py: ") and message.count("\n") == 1


@pytest.mark.parametrize("package", ["jinja2", "scipy", "matplotlib"])
def test_a_missing_package_is_told(place, monkeypatch, capsys, package):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    assert (
        report.main([str(place / "logs"), "--cells", str(place / "cells.csv"), "--output", str(place / "r.html")]) == 2
    )
    assert f"pip install {package}" in capsys.readouterr().err


# ---- in a browser

PROBE = """
<script>
const problems = [];
addEventListener("error", event => problems.push(String(event.message || event.target)), true);
addEventListener("securitypolicyviolation", event => problems.push(event.violatedDirective));
console.error = console.warn = (...words) => problems.push(words.join(" "));
addEventListener("load", async () => {
  const seen = element => { const box = element.getBoundingClientRect(); return box.width > 30 && box.height > 10; };
  const column = (table, n) => [...table.tBodies[0].rows].map(row => row.cells[n].textContent.trim());
  const all = selector => [...document.querySelectorAll(selector)];
  const table = document.getElementById("t-dfc");
  const sort = n => { table.tHead.rows[0].cells[n].querySelector("button").click(); return column(table, n); };
  let copied = null;
  Object.defineProperty(navigator, "clipboard", { value: { writeText: async text => { copied = text; } } });
  const result = {
    sorted: [sort(2), sort(2), sort(1)],
    aria: table.tHead.rows[0].cells[1].getAttribute("aria-sort"),
    hidden: all("table, figure svg").filter(each => !seen(each)).map(each => each.id || each.className),
    curves: document.querySelectorAll("figure svg path").length,
    overflow: document.documentElement.scrollWidth - innerWidth,
    smallest: Math.min(...all("figure svg text").map(each => each.getBoundingClientRect().height)),
    requests: performance.getEntriesByType("resource").map(each => each.name),
  };
  document.querySelector("button.copy[data-table=t-dfc]").click();
  await new Promise(done => setTimeout(done, 50));
  result.copied = copied;
  result.problems = problems;
  const out = document.createElement("pre");
  out.id = "probe"; out.textContent = "PROBE" + JSON.stringify(result) + "EBORP";
  document.body.append(out);
});
</script>
"""


def browse(page, folder, *words):
    """(standard output, standard error) of a browser that opens a page without a network."""
    own = [f"--user-data-dir={folder / 'profile'}", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    own.append("--enable-logging=stderr")
    closed = ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000"]
    done = subprocess.run([CHROMIUM, *own, *closed, *words, page.as_uri()], capture_output=True, text=True, timeout=120)
    return done.stdout, done.stderr


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1200, 900, 740, 400])
def test_a_browser_shows_everything_sorts_and_asks_nobody(place, width):
    text = draw(place)
    page = place / "probed.html"
    page.write_text(text.replace("<style>", PROBE + "<style>", 1))
    out, err = browse(page, place, f"--window-size={width},900", "--dump-dom")
    found = re.search(r"PROBE(\{.*?\})EBORP", out, re.S)
    assert found, err
    result = json.loads(html.unescape(found[1]))
    assert result["problems"] == [] and result["requests"] == [] and "CONSOLE" not in err
    assert result["hidden"] == [] and result["curves"] > 10
    assert result["overflow"] <= 0 and result["smallest"] > 8
    up, down, names = result["sorted"]
    assert [float(text.split()[0]) for text in up] == [1.0, 9.87, 10.6, 37.5] and down == up[::-1]
    assert names == sorted(names, key=str.lower) and result["aria"] == "ascending"
    rows = list(csv.reader(io.StringIO(result["copied"])))
    assert len(rows) == 5 and {len(row) for row in rows} == {10}
    assert ["Fashion-MNIST", "BP", "10.60"] in [row[:3] for row in rows]


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_the_page_prints_with_its_commands_and_without_its_buttons(place):
    draw(place)
    pdf = place / "page.pdf"
    browse(place / "report.html", place, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size > 20000


def test_ends_are_those_of_the_programs():
    """The made-up runs say what real ones say."""
    assert set(ENDS) == {"main.py", "run.py"}
