from __future__ import annotations

from pathlib import Path

import pytest

from easnn.cli.arguments import parse
from easnn.cli.train import make_parser
from easnn.sweep import Sweep, read_sweep
from easnn.utils.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[2]


def sweep_of(folder: Path, text: str, *words: str) -> Sweep:
    path = folder / "sweep.toml"
    path.write_text(text)
    return read_sweep(path, words)


def error_of(folder: Path, text: str, *words: str) -> str:
    """Return what is wrong with a sweep file, without its folder."""
    with pytest.raises(ConfigError) as caught:
        sweep_of(folder, text, *words)
    return str(caught.value).replace(f"{folder}/", "")


def test_variants_times_grid_times_seeds_one_seed_of_all_first(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path,
        """
        experiment = "e-yolox-demo"
        seeds = [7, 8]
        [keys]
        max_epoch = 2
        [variants.plain]
        embedding = "count"
        [variants."SAT, RPD"]
        write_zero = true
        [grid]
        T = [2, 4]
        """,
    )
    assert [(run.variant, run.seed) for run in sweep.runs] == [
        ("plain T=2", 7),
        ("plain T=4", 7),
        ("SAT, RPD T=2", 7),
        ("SAT, RPD T=4", 7),
        ("plain T=2", 8),
        ("plain T=4", 8),
        ("SAT, RPD T=2", 8),
        ("SAT, RPD T=4", 8),
    ]
    last = sweep.runs[-1]
    assert last.name == "SAT,_RPD_T=4_seed8"
    assert last.varied == {"write_zero": "True", "T": "4"}
    assert last.texts == {"max_epoch": "2", "write_zero": "True", "T": "4"}
    keys = last.experiment
    assert (keys.embedding, keys.write_zero, keys.T, keys.max_epoch, keys.seed) == (
        "arsnn",
        True,
        4,
        2,
        8,
    )


def test_a_sweep_over_seeds_alone_is_named_after_its_experiment(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, 'experiment = "e-yolox-demo"\nseeds = [1, 2, 3]')
    assert [run.name for run in sweep.runs] == [f"e_yolox_demo_seed{seed}" for seed in (1, 2, 3)]


def test_without_seeds_the_experiment_has_one(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path, 'experiment = "e-yolox-demo"\n[grid]\nuse_spike = [true, "full_spike"]'
    )
    assert [(run.name, run.experiment.use_spike.value) for run in sweep.runs] == [
        ("use_spike=True_seed80", "True"),
        ("use_spike=full_spike_seed80", "full_spike"),
    ]


def test_an_experiment_file_may_declare_keys_of_its_own(tmp_path: Path) -> None:
    exp_file = tmp_path / "mine.py"
    exp_file.write_text(
        "from easnn.exp import EventExp, key\n"
        "class Exp(EventExp):\n"
        "    dropout: float = key(0.1, 'dropout', low=0)\n"
    )
    text = f'exp_file = "{exp_file}"\nseeds = [1]\n[grid]\ndropout = [0, 0.5]'
    assert [run.experiment.plain()["dropout"] for run in sweep_of(tmp_path, text).runs] == [
        0.0,
        0.5,
    ]


def test_lists_become_tuples_and_words_of_the_command_line_win_over_common_keys(
    tmp_path: Path,
) -> None:
    text = 'experiment = "e-yolox-demo"\nseeds = [1]\n[keys]\ninput_size = [64, 96]\nmax_epoch = 9'
    experiment = sweep_of(tmp_path, text, "max_epoch", "3", "milestones", "()").runs[0].experiment
    assert (experiment.input_size, experiment.max_epoch, experiment.milestones) == ((64, 96), 3, ())


START = 'experiment = "e-yolox-demo"\nseeds = [1]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("T =", "sweep.toml must be a TOML file, but is not: Invalid value (at end of document)."),
        (
            'experimnt = "e-yolox-s"',
            "sweep.toml: Unknown entry `experimnt`. Did you mean `experiment`? The entries are "
            "experiment, exp_file, batch_size, fp16, seeds, split, checkpoint, baseline, strata, "
            "energy_frames, keys, variants, grid; keys of the experiment belong in [keys].",
        ),
        (
            "seeds = [1]",
            "sweep.toml must have either `experiment` (a name, as -n) or `exp_file` (as -f).",
        ),
        (
            'experiment = "e-yolox-s"',
            "sweep.toml must have `seeds`, e.g. [1, 2, 3], because its experiment has no `seed`.",
        ),
        (
            START + "batch_size = 0",
            "sweep.toml: `batch_size` must be a whole number ≥ 1, but is 0.",
        ),
        (
            'experiment = "e-yolox-demo"\nseeds = [1, 1]',
            "sweep.toml: `seeds` must name each seed once, but is [1, 1].",
        ),
        (
            START + 'baseline = "plane"\n[variants.plain]\nT = 2\n[variants.other]\nT = 4',
            "sweep.toml: `baseline` must be a variant, but there is no variant plane. Did you mean "
            "`plain`? The variants are plain, other.",
        ),
        (START + "grid = 3", "sweep.toml, [grid] must be a table, but is 3."),
        (START + "[grid]\nT = 3", "sweep.toml, [grid]: `T` must be a list of values, but is 3."),
        (START + "[variants]\na = 3", "sweep.toml, variant a must be a table, but is 3."),
        (
            START + "[grid]\nseed = [1, 2]",
            "sweep.toml, [grid]: `seed` must be omitted, because the sweep sets it: seeds are the "
            "list `seeds`, and --output is the folder of all runs.",
        ),
        (
            START + "[keys]\nmaxepoch = 3",
            "sweep.toml, [keys]: Unknown key `maxepoch`. Did you mean `max_epoch`?",
        ),
        (
            START + '[variants.a]\nspike_attach = "yes"',
            "sweep.toml, variant a: `spike_attach` must be True or False, but is 'yes'.",
        ),
        (
            START + "[variants.a]\nTs = 3\n[variants.b]\nTs = 2",
            "sweep.toml, variant b: `Ts` must be 1 or `T` (3), but is 2.",
        ),
        (
            START + "[grid]\nT = [3, 4]\nTs = [3]",
            "sweep.toml, variant T=4 Ts=3: `Ts` must be 1 or `T` (4), but is 3.",
        ),
        (
            START + "[variants.a]\nT = 2\n[grid]\nT = [3, 4]",
            "sweep.toml, variant a: `T` must be set in one place, but is also set in [grid].",
        ),
        (
            START + "[variants.a]\n[variants.b]\nT = 3",
            "sweep.toml: Variants must differ, but a and b have the same keys.",
        ),
        (START + "[grid]\nT = [3, 3]", "sweep.toml must have one variant T=3, but has two."),
        (
            START + '[variants."a b"]\nT = 2\n[variants."a/b"]\nT = 4',
            "sweep.toml: The variants a b and a/b would share the files a_b_seed1. Rename one of "
            "them.",
        ),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, text: str, message: str) -> None:
    assert error_of(tmp_path, text) == message


def test_what_is_wrong_with_the_command_line(tmp_path: Path) -> None:
    text = START + "[variants.a]\nT = 2"
    assert error_of(tmp_path, text, "T", "4") == (
        "sweep.toml, variant a: `T` must be set in one place, but is also set on the command line."
    )
    assert error_of(tmp_path, text, "seed", "4").startswith(
        "The command line: `seed` must be omitted"
    )
    assert error_of(tmp_path, text, "t", "4") == "Unknown key `t`. `--help-keys` lists every key."


def test_a_byte_order_mark(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, '\ufeffexperiment = "e-yolox-demo"\nseeds = [1]\n')
    assert [run.seed for run in sweep.runs] == [1]


def test_nesting_without_end(tmp_path: Path) -> None:
    assert error_of(tmp_path, "seeds = " + "[" * 100_000).startswith(
        "sweep.toml must be a TOML file, but is not: maximum recursion depth exceeded"
    )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "no.toml"
    with pytest.raises(ConfigError) as caught:
        read_sweep(path)
    assert str(caught.value) == f"Cannot read the sweep file {path}: No such file or directory."


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    page = (CHECKOUT / "docs" / "sweeps.md").read_text()
    example = page.split("```toml\n")[1].split("```")[0]
    sweep = sweep_of(tmp_path, example)
    assert len(sweep.runs) == 12
    variants = [run.variant for run in sweep.runs[:4]]
    assert variants == ["count T=2", "count T=3", "arsnn, RPD T=2", "arsnn, RPD T=3"]
    (message,) = [line for line in page.splitlines() if line.startswith("error: ")]
    wrong = example.replace("write_zero = true", 'write_zero = "yes"')
    assert f"error: {error_of(tmp_path, wrong)}" == message


@pytest.mark.parametrize(
    "path", sorted((CHECKOUT / "exps" / "sweeps").glob("*.toml")), ids=lambda path: path.name
)
def test_the_sweep_files_of_the_project_are_right(path: Path) -> None:
    assert read_sweep(path).runs


def test_the_default_batch_size_is_that_of_training(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, 'experiment = "e-yolox-demo"\nseeds = [1]')
    assert sweep.settings.batch_size == parse(make_parser(), ["-n", "e-yolox-demo"]).batch_size
