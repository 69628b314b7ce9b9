"""The built wheel works where it is installed, away from this checkout."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import distributions, packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipelines", "eval", "scaling_report", "recipes")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*PIP, *build], check=True)
    (built,) = folder.glob("stepladder-*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a fresh environment with the wheel, and the dependencies that this one has."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / Path(sys.executable).name
    subprocess.run(
        [*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True
    )

    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site_packages = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    # Added after the installation, or pip would take this checkout's own Stepladder for the one to install.
    shared = {str(Path(str(package.locate_file(""))).resolve()) for package in distributions()} - {str(ROOT)}
    (site_packages / "dependencies.pth").write_text("\n".join(sorted(shared)) + "\n", encoding="utf-8")
    return scripts


def stepladder(scripts: Path, folder: Path, *arguments: str) -> str:
    """Run the installed command in `folder` as a user would, away from this checkout; return its output."""
    # The last three are the tests' own limit of one thread.
    ours = ("PYTHON", "VIRTUAL", "OMP_", "MKL_", "OPENBLAS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [scripts / "stepladder", *arguments],
        cwd=folder,
        env=environment | {"NO_COLOR": "1", "COLUMNS": "120", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"stepladder {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_holds_the_packages_whole_and_nothing_else(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(PACKAGES)

    kinds = ("*.py", "*.yaml", "*.jinja", "*.j2", "*.html", "*.md", "*.css", "*.js", "py.typed")
    kept = {
        str(path.relative_to(ROOT))
        for room in PACKAGES
        for kind in kinds
        for path in (ROOT / room).rglob(kind)
    }
    assert {Path(name).as_posix() for name in kept} <= names
    assert {"recipes/quickstart.yaml", "recipes/smoke.yaml"} <= names
    assert any(name.startswith("scaling_report/templates/") for name in names)
    assert {f"{room}/py.typed" for room in PACKAGES if room != "recipes"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_installed_command_says_what_it_can_do(elsewhere: Path, tmp_path: Path) -> None:
    text = stepladder(elsewhere, tmp_path, "--help")
    for command in ("run", "plan", "status", "report", "init", "schema"):
        assert command in text


def test_the_installed_package_is_the_one_that_runs(elsewhere: Path, tmp_path: Path) -> None:
    code = "import pipelines, eval, scaling_report as s; print(pipelines.__file__, eval.__file__, s.__file__)"
    python = elsewhere / Path(sys.executable).name
    done = subprocess.run(
        [python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for path in done.stdout.split():
        assert Path(path).is_relative_to(elsewhere.parent)


def test_the_installed_command_plans_the_packaged_quickstart(elsewhere: Path, tmp_path: Path) -> None:
    text = stepladder(elsewhere, tmp_path, "plan", "quickstart")
    assert "13k" in text
    assert "2x208" in text
    assert list(tmp_path.iterdir()) == [], "a plan writes nothing"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["smoke", "quickstart"])
def test_the_installed_command_runs_a_recipe_from_an_empty_folder(
    elsewhere: Path, tmp_path: Path, recipe: str
) -> None:
    stepladder(elsewhere, tmp_path, "run", recipe)

    run = tmp_path / "runs" / recipe
    page = run / "report" / "index.html"
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")
    assert page.stat().st_size <= 2 * 1024 * 1024
    assert (run / "report" / "report.md").stat().st_size > 0
    assert json.loads((run / "report" / "laws.json").read_text(encoding="utf-8"))["run"] == recipe

    results = [json.loads(line) for line in (run / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {"bits_per_byte", "bleu", "accuracy"} <= {result["metric"] for result in results}


def test_the_dependencies_are_those_that_are_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {name_of(line) for line in project["dependencies"]}
    extras = {name_of(line) for lines in project["optional-dependencies"].values() for line in lines}

    own = {*PACKAGES, *sys.stdlib_module_names}
    modules = {
        name for room in PACKAGES for path in (ROOT / room).rglob("*.py") for name in imported(path)
    } - own
    providers = packages_distributions()
    # an extra need not be installed; its module has its package's name, but for this one
    providers = {"pynvml": ["nvidia-ml-py"], **providers}
    imports = {normal(provider) for module in modules for provider in providers.get(module, [module])}
    # pydantic pins its own core exactly, so that a bound of ours would only get in its way
    assert imports - {"pydantic-core"} - extras == declared


def name_of(requirement: str) -> str:
    return normal(re.split(r"[^\w.-]", requirement)[0])


def imported(path: Path) -> set[str]:
    """The top-level names that a module imports, inside functions, too."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names = set()
    for node in tree:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
