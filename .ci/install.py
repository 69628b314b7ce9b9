"""Put Stepladder and its pinned dependencies into .venv, keeping a torch that is already there.

`.ci/setup.sh` runs this with a Python >= 3.11; it needs nothing but that and pip. Running it again costs a
fraction of a second, and running it after an interruption finishes the work.

Torch has rules of its own, because the package index answers a plain `torch` on Linux with gigabytes of CUDA:
one that imports (in .venv, else in the Python running this) is kept as it is; only where there is none is the
pinned version installed, from the index in STEPLADDER_TORCH_INDEX where that is set. Every other dependency
comes at the version in requirements.lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "stepladder.json"  # written last: what was installed, and for which files

TORCH_PINNED = "2.13.0"
TORCH_OLDEST, TORCH_BEFORE = (2, 6), (3, 0)  # the bounds in pyproject.toml

EXTRAS = ("dev",)
NEXT = {"": "stepladder run quickstart", "dev": "python -m pytest -n 2"}


class SetupError(Exception):
    """What stands in the way, in one line that says what to do."""


class Torch(NamedTuple):
    """A torch that imports: its version and the site-packages folder it lies in."""

    version: str
    folder: str


def main(arguments: Sequence[str]) -> int:
    """Install what `arguments` (none, or `dev`) ask for; return the exit code."""
    unknown = [name for name in arguments if name not in EXTRAS]
    if unknown:
        say(f"unknown argument {unknown[0]!r}; use 'sh .ci/setup.sh' or 'sh .ci/setup.sh dev'", error=True)
        return 2
    try:
        install(frozenset(arguments))
    except SetupError as error:
        say(str(error), error=True)
        return 1
    except KeyboardInterrupt:
        say("stopped; run this again to finish", error=True)
        return 130
    return 0


def install(asked: frozenset[str]) -> None:
    """Bring .venv to what the lock says, with the extras in `asked` and those it had before."""
    stamp = read_stamp()
    extras = asked | set(stamp.get("extras", []))
    hint = f"next: {os.path.relpath(BIN)}{os.sep}{NEXT['dev' if asked else '']}"
    if stamp.get("made_for") == fingerprint() and asked <= set(stamp["extras"]) and still_there(stamp):
        say(f"everything is in place; {hint}")
        return

    make_venv()
    forget_half_installed()
    torch = provide_torch()
    install_stepladder(sorted(extras), torch)
    write_stamp(sorted(extras))
    say(f"done; {hint}")


# --- the virtual environment ----------------------------------------------------------------------


def make_venv() -> None:
    """Make .venv, or keep the one that works."""
    if python_runs():
        version = ask("import sys; print('%d.%d' % sys.version_info[:2])")
        if tuple(map(int, version.split("."))) < (3, 11):
            raise SetupError(f"{VENV} has Python {version}, not 3.11 or newer; remove it and run this again")
        return
    say(f"making {os.path.relpath(VENV)} with Python {'.'.join(map(str, sys.version_info[:3]))}")
    # One whose Python is gone is made anew. Without pip, because some systems ship no ensurepip to add it.
    clear = ["--clear"] if (VENV / "pyvenv.cfg").exists() else []
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", *clear, str(VENV)], check=False)
    if not python_runs():
        raise SetupError(f"{sys.executable} could not make {VENV}; remove that folder and run this again")


def python_runs() -> bool:
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", ""], capture_output=True).returncode == 0


def ask(code: str) -> str:
    """Run `code` in .venv's Python and return what it prints."""
    done = subprocess.run([PYTHON, "-I", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def site_packages() -> Path:
    return Path(ask("import sysconfig; print(sysconfig.get_path('purelib'))"))


def forget_half_installed() -> None:
    """Remove the metadata of packages whose files are not all there, so that pip installs them again.

    A pip that was killed leaves such packages, and the next pip takes them for installed. A torch that
    imports is left alone, whatever its metadata say: installing it again could swap its build.
    """
    spared = {"torch"} if find_torch(PYTHON) else set()
    for package in distributions(path=[str(site_packages())]):
        pip_made_it = metadata_folder(package).suffix == ".dist-info"
        if pip_made_it and package.name not in spared and not is_whole(package):
            say(f"installing {package.name} again: an earlier set-up was interrupted")
            shutil.rmtree(metadata_folder(package))


def is_whole(package: Distribution) -> bool:
    """Whether every file that the package's RECORD lists is there in its full size."""
    if package.files is None:
        return False
    for file in package.files:
        path = Path(str(package.locate_file(file)))
        if file.suffix == ".pyc":  # Python makes these again
            continue
        if not path.exists() or file.size not in (None, path.stat().st_size):
            return False
    return True


def metadata_folder(package: Distribution) -> Path:
    # The standard library gives a distribution's own folder nowhere else.
    return Path(str(package._path))  # type: ignore[attr-defined]


# --- torch ----------------------------------------------------------------------------------------


def provide_torch() -> str:
    """See that .venv has a torch: its own, the outer interpreter's, or the pinned one; return the version."""
    link = site_packages() / "stepladder_outer_torch.pth"
    torch = find_torch(PYTHON)
    if torch is None:
        link.unlink(missing_ok=True)
        torch = borrow_torch(link)
    if torch is not None:
        say(f"keeping torch {torch.version} from {torch.folder}")
        return torch.version

    index = os.environ.get("STEPLADDER_TORCH_INDEX", "")
    source = index or "pip's own index"
    say(f"installing torch {TORCH_PINNED} from {source} (this can take minutes)")
    # Its dependencies come with the rest: an index of torch builds lacks the versions in the lock.
    pip("--no-deps", *(["--index-url", index] if index else []), f"torch=={TORCH_PINNED}")
    return TORCH_PINNED


def borrow_torch(link: Path) -> Torch | None:
    """Let .venv see the torch of the Python running this, where both are of one version.

    A path file puts its folder behind .venv's own packages, whether it is the system's, a user's, conda's or
    another environment's; `venv --system-site-packages` sees only the first two, and only when .venv is new.
    """
    torch = find_torch(Path(sys.executable))
    same = ask("import sys; print('%d.%d' % sys.version_info[:2])") == "{}.{}".format(*sys.version_info)
    if torch is None or not same:
        return None
    link.write_text(f"{torch.folder}\n", encoding="utf-8")
    return find_torch(PYTHON)


def find_torch(python: Path) -> Torch | None:
    """Return the torch that `python` imports; None where there is none within Stepladder's bounds."""
    code = "import torch, os; print(torch.__version__, os.path.dirname(torch.__path__[0]), sep='\\n')"
    done = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True)
    if done.returncode != 0:
        return None
    version, folder = done.stdout.splitlines()[-2:]
    release = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return Torch(version, folder) if TORCH_OLDEST <= release < TORCH_BEFORE else None


# --- everything else ------------------------------------------------------------------------------


def install_stepladder(extras: list[str], torch_version: str) -> None:
    """Install this checkout, editable, with every dependency at the lock's version and torch as it is.

    Raises SetupError where torch does not import with all that it needs beside it.
    """
    say("installing Stepladder and its pinned dependencies (this can take minutes)")
    project = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "torch.txt")
        kept.write_text(f"torch=={torch_version}\n", encoding="utf-8")
        pip("--constraint", str(LOCK), "--constraint", str(kept), "--editable", project)
    if find_torch(PYTHON) is None:
        raise SetupError(f"torch {torch_version} does not import; see why with: {PYTHON} -c 'import torch'")


def pip(*arguments: str) -> None:
    """Run `pip install` on .venv, with .venv's own pip or, from outside, the running Python's."""
    inside = [str(PYTHON), "-m", "pip"]
    outside = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    for command in (inside, outside):
        if subprocess.run([*command, "--version"], capture_output=True).returncode == 0:
            break
    else:
        raise SetupError(f"{sys.executable} has no pip; install python3-pip and run this again")
    options = ["-qq", "--no-input", "--disable-pip-version-check"]
    if subprocess.run([*command, "install", *options, *arguments]).returncode != 0:
        raise SetupError("pip failed, for the reason above; run this again once that is mended")


# --- the stamp ------------------------------------------------------------------------------------


def fingerprint() -> str:
    """Hash everything that decides what is installed; the folder counts, as an environment does not move."""
    files = (ROOT / "pyproject.toml", LOCK, Path(__file__))
    parts = [str(ROOT).encode(), *(path.read_bytes() for path in files)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def installed_packages() -> list[str]:
    """Return `name==version` of everything that .venv's Python finds."""
    packages = "f'{d.name}=={d.version}' for d in distributions()"
    return sorted(set(ask(f"from importlib.metadata import distributions; print(*({packages}))").split()))


def still_there(stamp: dict[str, Any]) -> bool:
    return python_runs() and set(stamp["packages"]) <= set(installed_packages())


def read_stamp() -> dict[str, Any]:
    """Return the last finished set-up; empty where there was none."""
    try:
        stamp: dict[str, Any] = json.loads(STAMP.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return stamp


def write_stamp(extras: list[str]) -> None:
    stamp = {"made_for": fingerprint(), "extras": extras, "packages": installed_packages()}
    partial = STAMP.with_suffix(".partial")
    partial.write_text(json.dumps(stamp, indent=2), encoding="utf-8")
    partial.replace(STAMP)


def say(line: str, *, error: bool = False) -> None:
    print(f"setup: {line}", file=sys.stderr if error else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
