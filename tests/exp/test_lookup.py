from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path

import pytest
from experiments import write_experiment

from easnn.exp import EventExp, ExperimentRecord, experiment_names, get_exp
from easnn.utils.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "depth", "width", "max_epoch"),
    [("e-yolox-s", 0.33, 0.5, 60), ("e-yolox-m", 0.67, 0.75, 300), ("e-yolox-l", 1.0, 1.0, 300)],
)
def test_named_experiments(name: str, depth: float, width: float, max_epoch: int) -> None:
    exp = get_exp(exp_name=name)
    assert (exp.depth, exp.width, exp.max_epoch) == (depth, width, max_epoch)
    assert exp.exp_name == name.replace("-", "_")


@pytest.mark.parametrize("name", experiment_names())
def test_every_named_experiment_is_valid(name: str) -> None:
    get_exp(exp_name=name).validate()


def test_a_name_is_found_with_underscores_too() -> None:
    assert get_exp(exp_name="e_yolox_s").depth == 0.33


def test_a_file_of_the_folder_exps_default_is_the_named_experiment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(CHECKOUT)
    by_file = ExperimentRecord.of(get_exp(exp_file="exps/default/e_yolox_s.py"))
    assert by_file == ExperimentRecord.of(get_exp(exp_name="e-yolox-s"))
    assert by_file.name == "e-yolox-s"


def test_an_experiment_imported_from_exps_default_is_the_named_experiment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(CHECKOUT)
    module = importlib.import_module("exps.default.e_yolox_s")
    assert ExperimentRecord.of(module.Exp()).name == "e-yolox-s"


def test_a_record_with_the_former_path_of_a_named_experiment_is_found_by_its_name() -> None:
    values = ExperimentRecord.of(get_exp(exp_name="e-yolox-s")).plain()
    values["file"] = "/elsewhere/exps/default/e_yolox_s.py"
    source = Path("best_ckpt.pth")
    exp = ExperimentRecord.read(values, source).experiment(source)
    assert type(exp) is not EventExp
    assert ExperimentRecord.of(exp).plain() == {**values, "file": exp_file_of(exp)}


def exp_file_of(exp: EventExp) -> str:
    return str(Path(inspect.getfile(type(exp))).resolve())


def test_the_names_are_those_of_the_experiments_alone() -> None:
    assert experiment_names() == [
        f"e-yolox-{size}"
        for size in ("demo", "l", "m", "m-memory", "mds", "meta", "nano", "s", "s-memory", "tiny")
    ]


@pytest.mark.parametrize("name", ["../e-yolox-s", "default/e-yolox-s", "e-yolox-s.py", ""])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^Unknown experiment `"):
        get_exp(exp_name=name)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError) as error:
        get_exp(exp_name="e-yolo-s")
    assert str(error.value) == (
        "Unknown experiment `e-yolo-s`. Did you mean `e-yolox-s`? The names are e-yolox-demo, "
        "e-yolox-l, e-yolox-m, e-yolox-m-memory, e-yolox-mds, e-yolox-meta, e-yolox-nano, "
        "e-yolox-s, e-yolox-s-memory, e-yolox-tiny; give any other experiment as a file (-f)."
    )


@pytest.mark.parametrize("arguments", [{}, {"exp_file": "a.py", "exp_name": "e-yolox-s"}])
def test_exactly_one_of_name_and_file(arguments: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as error:
        get_exp(**arguments)
    assert str(error.value) == (
        "Give either the name of an experiment (-n) or an experiment file (-f). The names are "
        "e-yolox-demo, e-yolox-l, e-yolox-m, e-yolox-m-memory, e-yolox-mds, e-yolox-meta, "
        "e-yolox-nano, e-yolox-s, e-yolox-s-memory, e-yolox-tiny."
    )


def test_a_file_is_named_after_itself(tmp_path: Path) -> None:
    exp = get_exp(exp_file=write_experiment(tmp_path, "self.depth = 0.5", name="my_run"))
    assert (exp.depth, exp.exp_name) == (0.5, "my_run")


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, "self.seed = 1")
    path.write_text("\ufeff" + path.read_text(), encoding="utf-8")
    assert get_exp(exp_file=str(path)).exp_name == "mine"


def test_a_file_may_choose_its_name(tmp_path: Path) -> None:
    exp = get_exp(exp_file=write_experiment(tmp_path, "self.exp_name = 'chosen'"))
    assert exp.exp_name == "chosen"


def test_files_of_the_same_name_do_not_mix(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, depth in zip(folders, (0.5, 0.75), strict=True):
        folder.mkdir()
        write_experiment(folder, f"self.depth = {depth}")
    experiments = [get_exp(exp_file=folder / "mine.py") for folder in folders]
    assert [exp.depth for exp in experiments] == [0.5, 0.75]


def test_a_wrong_key_in_a_file_is_located(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, "self.embeding = 'arsnn'")
    with pytest.raises(ConfigError) as error:
        get_exp(exp_file=path)
    assert str(error.value) == f"{path}, line 7: Unknown key `embeding`. Did you mean `embedding`?"


def test_a_wrong_value_in_a_file_is_located(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, "self.T = '3'")
    with pytest.raises(ConfigError) as error:
        get_exp(exp_file=path)
    assert (
        str(error.value)
        == f"{path}, line 7: `T` must be a whole number ≥ 1 and ≤ 1000, but is '3'."
    )


def test_an_error_in_a_file_is_raised_as_it_is(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, "self.depth = 1 / 0")
    with pytest.raises(ZeroDivisionError) as error:
        get_exp(exp_file=path)
    assert error.traceback[-1].path == path
    assert error.traceback[-1].lineno == 6  # counted from 0


def test_an_import_that_fails_in_a_file_is_raised_as_it_is(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, "pass", before="import no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        get_exp(exp_file=path)


NEIGHBOURS = {
    "base.py": "from easnn.exp import EventExp\nfrom values import DEPTH\n\n\n"
    "class Exp(EventExp):\n    def __init__(self):\n        super().__init__()\n"
    "        self.depth = DEPTH\n",
    "values.py": "DEPTH = 0.5\n",
    "parts/__init__.py": "from values import DEPTH\nfrom . import sizes\n",
    "parts/sizes.py": "from values import DEPTH as WIDTH\n",
    "json.py": "raise AssertionError('the standard library comes first')\n",
}


def folder_of_experiments(folder: Path, **values: str) -> Path:
    for name, text in NEIGHBOURS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("0.5", values.get("depth", "0.5")))
    return folder


IMPORTS = {
    "as in a program": "from base import Exp",
    "as in a package": "from .base import Exp",
    "of a module": "import base\n\n\nclass Exp(base.Exp):\n    pass",
    "of a sibling": "from . import base\n\nExp = base.Exp",
    "of a package": "import parts.sizes\nfrom base import Exp\n\nassert parts.sizes.WIDTH == "
    "parts.DEPTH",
    "of both": "import json\n\nfrom base import Exp\nfrom .base import Exp as same\n\n"
    "assert Exp is same and json.loads",
}


@pytest.mark.parametrize("imports", IMPORTS)
def test_a_file_may_import_those_beside_it(tmp_path: Path, imports: str) -> None:
    folder = folder_of_experiments(tmp_path / "my runs-1")
    path = folder / "mine.py"
    path.write_text(IMPORTS[imports] + "\n")
    before, modules = list(sys.path), set(sys.modules)
    exp = get_exp(exp_file=path)
    assert (exp.depth, exp.exp_name) == (0.5, "mine")
    assert sys.path == before
    assert {name for name in set(sys.modules) - modules if "easnn_experiment" not in name} == set()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("values")


def test_files_beside_are_also_found_when_a_builder_runs(tmp_path: Path) -> None:
    folder = folder_of_experiments(tmp_path)
    path = write_experiment(
        folder,
        "pass",
        after="    def class_names(self):\n        import values\n        return values.DEPTH,\n",
    )
    assert get_exp(exp_file=path).class_names() == (0.5,)


def test_folders_with_files_of_the_same_names_do_not_mix(tmp_path: Path) -> None:
    depths = []
    for depth in ("0.25", "0.75"):
        folder = folder_of_experiments(tmp_path / depth, depth=depth)
        (folder / "mine.py").write_text("from base import Exp\n")
        depths.append(get_exp(exp_file=folder / "mine.py").depth)
    assert depths == [0.25, 0.75]


def test_a_wrong_value_in_a_file_beside_is_located(tmp_path: Path) -> None:
    folder = folder_of_experiments(tmp_path, depth="'deep'")
    (folder / "mine.py").write_text("from base import Exp\n")
    with pytest.raises(ConfigError) as error:
        get_exp(exp_file=folder / "mine.py")
    assert str(error.value) == (
        f"{folder / 'base.py'}, line 8: `depth` must be a number > 0 and ≤ 16, but is 'deep'."
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [("x = 1\n", "defines no `Exp`"), ("class Exp:\n    pass\n", "its `Exp` is something else")],
)
def test_a_file_without_an_experiment_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "empty.py"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        get_exp(exp_file=path)
    assert (
        str(error.value)
        == f"Experiment file {path} must define `class Exp(EventExp)`, but {found}."
    )


def test_a_missing_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        get_exp(exp_file="exps/mine.py")
    assert str(error.value) == (
        f"Experiment file exps/mine.py must be a Python file, but there is none in {tmp_path}."
    )
