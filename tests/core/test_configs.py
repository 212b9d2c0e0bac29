"""The published experiments: every value that they resolve to, and what becomes of a config that
is wrong (dfc.md K, L)."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

import configs
from configs import load, module_names, to_argv
from core.options import UsageError
from tests.runs_for_tests import resolved as parse

REFERENCE = Path(__file__).parent.parent / "reference"
PUBLISHED = json.loads((REFERENCE / "dfc_configs.json").read_text())
DEFAULTS = {flag["dest"]: flag["default"] for flag in json.loads((REFERENCE / "dfc_cli.json").read_text())} | {
    "out_dir": None
}

NO_SEARCH = {"gn_damping_hpsearch": False, "save_df": False, "save_logs": False, "save_GNT_angle": False}
# dfc.md L 21: the search of gn_damping ended the training after three epochs; L 29: three runs shared one folder
MENDED = {
    "configs.configs_mnist.mnist_dfc_ssa": NO_SEARCH,
    "configs.configs_fmnist.fmnist_dfa": NO_SEARCH,
    "configs.configs_mnist_auto.mnist_auto_dfc": {"out_dir": None},
    "configs.configs_mnist_auto.mnist_auto_dfc_ss": {"out_dir": None},
    "configs.configs_mnist_auto.mnist_auto_dfc_ssa": {"out_dir": None},
}
SINGLE = [name for name, module in PUBLISHED.items() if "config" in module]
PIPELINES = [name for name, module in PUBLISHED.items() if "config_collection" in module]


def in_full(config):
    """All published flags of a config, numbers as floats whatever way they are written."""
    config = {{"sigma_output": "sigma_output_fb"}.get(name, name): value for name, value in config.items()}
    return {name: plain(value) for name, value in (DEFAULTS | config).items()}


def plain(value):
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    try:
        return float(value)
    except ValueError:
        return None if value == "None" else value


def published(name):
    """[(label, config)] of a published module, with what is mended there."""
    module = PUBLISHED[name]
    if "config" in module:
        return [(name, module["config"] | MENDED.get(name, {}))]
    order = module["_config_collection_order"]
    return [(f"{name} {entry}", module["config_fixed"] | module["config_collection"][entry]) for entry in order]


def shipped(name):
    """[(label, config)] of our module."""
    if name in SINGLE:
        return [(name, load(name))]
    return [(f"{name} {entry}", config) for entry, config in load(name, collection=True).experiments.items()]


EFFECTIVE = [(label, config) for name in PUBLISHED for label, config in shipped(name)]


def test_there_are_the_published_modules_and_no_others():
    # tests/cli/test_run_strong.py has them.
    successor = [
        name for name in module_names() if name.startswith("configs.strong_dfc.")
    ]
    assert sorted(set(module_names()) - set(successor)) == sorted(PUBLISHED) and len(successor) == 8
    assert (len(SINGLE), len(PIPELINES)) == (33, 16)


@pytest.mark.parametrize("name", PUBLISHED)
def test_module_gives_every_flag_its_published_value(name):
    ours, theirs = shipped(name), published(name)
    assert [label for label, _ in ours] == [label for label, _ in theirs]
    for (label, config), (_, reference) in zip(ours, theirs, strict=True):
        full, wanted = in_full(config), in_full(reference)
        assert full.keys() == wanted.keys(), label
        different = {flag: (full[flag], wanted[flag]) for flag in wanted if full[flag] != wanted[flag]}
        assert different == {}, label


@pytest.mark.parametrize("name", PUBLISHED)
def test_module_resolves_to_what_the_published_one_resolves_to(name):
    for (_, config), (_, reference) in zip(shipped(name), published(name), strict=True):
        reference = {flag: value for flag, value in reference.items() if value is not None}
        ours, theirs = vars(parse(to_argv(config))), vars(parse(to_argv(reference)))
        # Notes tell of flags that were given, args of how they were written.
        for settings in (ours, theirs):
            del settings["notes"], settings["args"]
        assert ours == theirs


@pytest.mark.parametrize("name", MENDED)
def test_mended_flags_differ_from_the_published_ones(name):
    """Else the table above could hide that a module is not mended."""
    before, after = in_full(PUBLISHED[name]["config"]), in_full(load(name))
    assert {flag for flag in before if before[flag] != after[flag]} == MENDED[name].keys()


def test_the_experiments_take_the_published_code_paths():
    """The table of dfc.md K.10."""
    settings = [parse(to_argv(config)) for _, config in EFFECTIVE]
    assert Counter(s.rule.name for s in settings) == {"DFC-SSA": 16, "DFC": 16, "DFC-SS": 53, "DFA": 11, "BP": 4}
    paths = Counter(
        (s.rule.name, s.efficient_controller, s.proactive_controller, s.include_non_converged_samples)
        for s in settings
        if s.rule.simulates
    )
    assert paths == {
        ("DFC", False, True, False): 4,
        ("DFC", False, False, False): 1,
        ("DFC", False, True, True): 6,
        ("DFC", False, False, True): 5,
        ("DFC-SS", True, True, False): 5,
        ("DFC-SS", True, True, True): 7,
        ("DFC-SS", True, False, True): 1,
        ("DFC-SS", False, False, False): 37,
        ("DFC-SS", False, False, True): 3,
    }
    assert Counter(s.freeze_fb_weights for s in settings if s.rule.name == "DFC-SSA") == {True: 8, False: 8}
    assert {(s.clip_grad_norm, s.normalize_lr, s.batch_size, s.random_seed) for s in settings} == {(1.0, True, 128, 42)}


def test_every_experiment_has_a_network_of_a_published_shape():
    settings = [parse(to_argv(config)) for _, config in EFFECTIVE]
    found = {(s.sizes, s.activations) for s in settings}
    auto = ((784, 256, 32, 256, 784), ("tanh", "linear", "tanh", "linear"))
    images = ((784, 256, 256, 256, 10), ("tanh", "tanh", "tanh", "linear"))
    toys = {((15, 10, 10, n), ("tanh", "tanh", "linear")) for n in (1, 5)}
    assert found == {auto, images, *toys, *(((20, 10, 5), (hidden, "linear")) for hidden in ("tanh", "linear"))}


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline_keeps_the_published_results(name):
    module, ours = PUBLISHED[name], load(name, collection=True)
    assert ours.result_keys == module["result_keys"]
    # One is named twice.
    assert ours.statistics_keys == list(dict.fromkeys(module["statistics_keys"]))
    assert ours.result_keys_DFA == module.get("result_keys_DFA", [])
    assert ours.fixed["save_df"] is True
    assert all(config.items() >= {"save_df": True}.items() for config in ours.experiments.values())


def test_what_is_loaded_is_a_copy():
    """A pipeline sets out_dir, which must not leak into the next experiment."""
    name = "configs.configs_mnist_auto.mnist_auto_bp"
    load(name)["size_hidden"].append(7)
    load(name)["out_dir"] = "elsewhere"
    assert load(name)["size_hidden"] == [256, 32, 256] and "out_dir" not in load(name)
    name = "configs.pipeline_configs.mnist_auto"
    first, second = load(name, collection=True).experiments, load(name, collection=True).experiments
    first["DFA"]["size_hidden"].append(7)
    assert [len(config["size_hidden"]) for config in (first["DFC"], second["DFA"])] == [3, 3]


# ---- command lines


def test_command_line_of_a_config():
    config = {
        "ndi": True,
        "no_bias": False,
        "lr": 5e-8,
        "size_hidden": [256, 32],
        "hidden_activation": ["tanh", "relu"],
    }
    argv = ["--ndi", "--lr=5e-08", "--size_hidden=[256, 32]", "--hidden_activation=['tanh', 'relu']"]
    assert to_argv(config) == argv
    assert parse(argv).sizes == (10, 256, 32, 2)


def test_none_is_left_out_where_it_is_the_default_and_said_elsewhere(capsys):
    assert to_argv({"out_dir": None, "k_p_fb": None, "lr_fb_init": None}) == []
    assert to_argv({"lr": None}) == ["--lr=None"]
    with pytest.raises(SystemExit):
        parse(["--lr=None"])
    assert "'None' is not a number" in capsys.readouterr().err


def test_numbers_survive_the_command_line():
    rate = 9.265965477237583e-05
    assert parse(to_argv({"lr": rate, "alpha_di": rate / 3})).lr == rate
    assert parse(to_argv({"alpha_di": rate / 3})).alpha_di == rate / 3


# ---- configs that are wrong


def write(folder, monkeypatch, text, name="mine"):
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


WRONG = {
    "x = 1": ["mine", "has no config"],
    "config_collection = {}": ["has no config", "config_collection", "run_pipeline.py"],
    "config = [1]": ["mine.config", "must be a dict", "list"],
    "config = {'lrr': 1}": ["mine.config", "'lrr'", "did you mean lr"],
    "config = {'alpha': 1}": ["'alpha'", "no flag"],
    "config = {1: 2}": ["mine.config", "1 is no flag"],
    "import nothing_of_this_name\nconfig = {}": ["mine", "nothing_of_this_name"],
    "config = {": ["mine", "SyntaxError"],
    "config = 1 / 0": ["mine", "ZeroDivisionError"],
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_config_is_refused_in_one_sentence(text, tmp_path, monkeypatch):
    name = write(tmp_path, monkeypatch, text)
    with pytest.raises(UsageError) as refused:
        load(name)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert [word for word in WRONG[text] if word not in sentence] == [], sentence


WRONG_COLLECTIONS = {
    "config = {}": ["has no config_fixed", "run_config.py"],
    "config_fixed = {}": ["has no config_collection"],
    "config_fixed = {}; config_collection = {}; result_keys = []; statistics_keys = []": ["no experiment"],
    "config_fixed = {'lrr': 1}; config_collection = {'a': {}}": ["config_fixed", "'lrr'"],
    "config_fixed = {}; config_collection = {'a': {'lrr': 1}}": ["config_collection['a']", "'lrr'"],
    "config_fixed = {}; config_collection = {'a': 3}": ["config_collection['a']", "must be a dict", "int"],
    "config_fixed = {}; config_collection = {'a': {}}": ["has no result_keys"],
    "config_fixed = {}; config_collection = {'a': {}}; result_keys = 'x'; statistics_keys = []": [
        "result_keys",
        "a list",
        "str",
    ],
    "config_fixed = {}; config_collection = {'DFA': {}}; result_keys = statistics_keys = []": [
        "has no result_keys_DFA"
    ],
}


@pytest.mark.parametrize("text", WRONG_COLLECTIONS)
def test_wrong_collection_is_refused_in_one_sentence(text, tmp_path, monkeypatch):
    name = write(tmp_path, monkeypatch, text)
    with pytest.raises(UsageError) as refused:
        load(name, collection=True)
    assert [word for word in WRONG_COLLECTIONS[text] if word not in str(refused.value)] == [], str(refused.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        # It is a default of the published scripts.
        ("configs.configs_mnist.mnist_ndi", "configs.configs_mnist.mnist_"),
        ("configs.configs_mnist.mnist_dfc_sa", "configs.configs_mnist.mnist_dfc_ssa"),
        ("config.configs_mnist.mnist_dfc", "configs.configs_mnist.mnist_dfc"),
        ("configs/configs_mnist/mnist_dfc.py", "configs.configs_mnist.mnist_dfc"),
        ("nothing.of.this.sort", "no such module"),
        ("", "--config_module="),
        (".mnist_dfc", "--config_module=.mnist_dfc"),
    ],
)
def test_missing_module_is_refused_with_the_nearest_names(name, near):
    with pytest.raises(UsageError) as refused:
        load(name)
    assert near in str(refused.value) and "\n" not in str(refused.value)


def test_entry_overrides_what_is_fixed_and_the_published_abbreviation_is_understood(tmp_path, monkeypatch):
    fixed = "config_fixed = {'lr': 1, 'sigma_output': 2, 'ndi': True}"
    entries = "config_collection = {'b': {'lr': 3}, 'a': {'sigma_output_fb': 4}}"
    keys = "result_keys = ['loss_test']; statistics_keys = ('loss_test_best',)"
    name = write(tmp_path, monkeypatch, f"{fixed}; {entries}; {keys}")
    found = load(name, collection=True)
    assert list(found.experiments.items()) == [
        ("b", {"lr": 3, "sigma_output_fb": 2, "ndi": True}),
        ("a", {"lr": 1, "sigma_output_fb": 4, "ndi": True}),
    ]
    assert (found.result_keys, found.statistics_keys, found.result_keys_DFA) == (["loss_test"], ["loss_test_best"], [])


def test_config_module_says_only_what_it_changes():
    """A module of forty flags would hide the three that make it an experiment."""
    for path in Path(configs.__file__).parent.rglob("*.py"):
        lines = path.read_text().splitlines()
        assert len(lines) <= 100 or path == Path(configs.__file__), path
        assert len(lines) <= 25 or path.name in ("__init__.py", "_shared.py"), path
        assert lines[0].startswith('"""'), path
