"""setup.sh, run on a small stand-in for this project whose every package is a local file.

No index can be reached in these tests, so what passes here was fetched from nowhere but the folder named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(os.name == "nt", reason="setup.sh needs a POSIX shell")

# A build backend in the project's own folder: nothing has to be fetched to install it.
BACKEND = """
from zipfile import ZipFile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "stepladder-0.1.0-py3-none-any.whl"
    info = "stepladder-0.1.0.dist-info"
    metadata = "Metadata-Version: 2.1\\nName: stepladder\\nVersion: 0.1.0\\nRequires-Dist: torch>=2.6,<3\\n"
    with ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("stepladder_stand_in.py", "")
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with the real set-up files and a stand-in for everything they install."""
    folder = tmp_path / "a checkout"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "setup.sh", folder / ".ci")
    shutil.copy(ROOT / ".ci" / "install.py", folder / ".ci")
    (folder / "requirements.lock").write_text("")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(BACKEND)
    return folder


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    """A Python outside the checkout: a fresh environment with nothing but this one's pip."""
    folder = tmp_path / "outer"
    venv.create(folder, with_pip=False, symlinks=True)
    import pip

    (packages_of(folder) / "pip").symlink_to(Path(pip.__file__).parent)
    return folder


def packages_of(environment: Path) -> Path:
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def write_torch(folder: Path, version: str) -> None:
    """Write an importable package that calls itself torch, with the metadata that pip reads."""
    files = {
        "torch/__init__.py": f"__version__ = {version!r}\n",
        f"torch-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n",
        f"torch-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"torch-{version}.dist-info/RECORD"] = "".join(f"{name},,\n" for name in files)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def torch_index(folder: Path, version: str) -> str:
    """Make a package index that serves only torch; return its address."""
    write_torch(folder / "unpacked", version)
    page = folder / "torch"
    page.mkdir()
    name = f"torch-{version}-py3-none-any.whl"
    with ZipFile(page / name, "w") as wheel:
        for path in (folder / "unpacked").rglob("*"):
            if path.is_file():
                wheel.write(path, path.relative_to(folder / "unpacked"))
    (page / "index.html").write_text(f'<a href="{name}">{name}</a>')
    return folder.as_uri()


def set_up(project: Path, outer: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run setup.sh with `outer` first on the PATH, from another folder, with no index within reach."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    environment: Mapping[str, str] = kept | {
        "PATH": f"{outer / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": (project / "no-index-here").as_uri(),
        "STEPLADDER_TORCH_INDEX": "",
        **extra,
    }
    command = ["sh", str(project / ".ci" / "setup.sh"), *arguments]
    return subprocess.run(command, cwd=project.parent, env=environment, capture_output=True, text=True)


def torch_version(project: Path) -> str:
    code = "import stepladder_stand_in, torch; print(torch.__version__)"
    python = project / ".venv" / "bin" / "python"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_it_keeps_the_torch_of_the_python_that_runs_it_and_does_nothing_twice(
    project: Path, outer: Path
) -> None:
    write_torch(packages_of(outer), "2.9.1+cu130")

    first = set_up(project, outer)
    assert first.returncode == 0, first.stderr
    assert torch_version(project) == "2.9.1+cu130"

    again = set_up(project, outer)
    assert again.stdout.splitlines() == [
        f"setup: everything is in place; next: {project.name}/.venv/bin/stepladder run quickstart"
    ]

    (project / "requirements.lock").write_text("numpy==2.4.6\n")
    assert "setup: installing Stepladder" in set_up(project, outer).stdout


def test_it_keeps_the_torch_in_a_venv_that_is_there(project: Path, outer: Path) -> None:
    venv.create(project / ".venv", with_pip=False, symlinks=True)
    write_torch(packages_of(project / ".venv"), "2.8.0")
    write_torch(packages_of(outer), "2.9.1")

    assert set_up(project, outer).returncode == 0
    assert torch_version(project) == "2.8.0"


def test_it_installs_the_pinned_torch_from_the_index_named(
    project: Path, outer: Path, tmp_path: Path
) -> None:
    write_torch(packages_of(outer), "2.4.0")  # older than Stepladder can use
    index = torch_index(tmp_path / "index", "2.13.0")

    first = set_up(project, outer, STEPLADDER_TORCH_INDEX=index)
    assert first.returncode == 0, first.stderr
    assert torch_version(project) == "2.13.0"

    # What a killed pip leaves: no stamp, and a package whose metadata is there while a file of it is not.
    (project / ".venv" / "stepladder.json").unlink()
    (packages_of(project / ".venv") / "torch" / "__init__.py").unlink()
    again = set_up(project, outer, STEPLADDER_TORCH_INDEX=index)
    assert again.returncode == 0, again.stderr
    assert torch_version(project) == "2.13.0"


def test_what_cannot_be_installed_is_said_and_leaves_no_stamp(project: Path, outer: Path) -> None:
    done = set_up(project, outer)  # no torch anywhere, and no index to fetch it from
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("setup: pip failed")
    assert not (project / ".venv" / "stepladder.json").exists()


def test_a_word_it_does_not_know_is_refused(project: Path, outer: Path) -> None:
    done = set_up(project, outer, "devel")
    assert (done.returncode, done.stderr) == (
        2,
        "setup: unknown argument 'devel'; use 'sh .ci/setup.sh' or 'sh .ci/setup.sh dev'\n",
    )


def test_no_new_enough_python_is_one_line(project: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("dirname", "sh"):
        (tools / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool}"))
    done = set_up(project, tmp_path, PATH=str(tools))
    assert done.returncode == 1
    assert done.stderr.startswith("setup: no Python 3.11 or newer on the PATH")
    assert done.stderr.count("\n") == 1


def test_the_lock_holds_versions_and_nothing_of_the_machine_that_made_it() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert len(pins) > 50
    for pin in pins:
        assert "==" in pin
        assert "/" not in pin
        assert not pin.startswith(("torch==", "triton", "nvidia-", "cuda-")), "torch has rules of its own"


def test_the_pinned_torch_lies_in_the_bounds_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    install = (ROOT / ".ci" / "install.py").read_text(encoding="utf-8")
    assert '"torch>=2.6,<3"' in project
    assert "TORCH_OLDEST, TORCH_BEFORE = (2, 6), (3, 0)" in install
