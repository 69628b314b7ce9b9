"""Run folders or tables of results -> the report's folder: page, Markdown, numbers, figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json, read_json, write_atomic, write_json
from eval.results import Result, read_results
from eval.safety import is_inside, links_out
from scaling_report.run_file import read_run
from scaling_report.settings import ReportSettings
from scaling_report.several import Source, merge_results, merge_runs, name_sources

VERSION = 2  # raised when the same results should be told otherwise; reports made before are then made again
MANIFEST = "manifest.json"


def make_report(
    source: Path | Sequence[Path], settings: ReportSettings, *, out: Path | None = None, force: bool = False
) -> Path:
    """Write index.html, report.md, laws.json, figures/*.svg and *.png, manifest.json last; returns the page.

    `source` is a run folder (results.jsonl, and run.json where there is one) or a results file of any origin;
    or several of these, whose runs are kept apart and whose report needs an `out`. Of one, the report goes to
    `out`, by default to the run's folder `report`, or to `<name>-report` beside the file.
    Nothing is done when the report of the same results, run and settings is there unchanged, unless `force`.
    Raises `InputError` for missing or broken files.
    """
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(one) for one in source]
    found = [_sources(path) for path in paths]
    tables = [table for table, _ in found]
    _check_several(tables, out)
    folder = Path(out) if out is not None else _report_folder(tables[0])
    runs = [read_run(run_file) if run_file else None for _, run_file in found]
    key = _key(tables, runs, settings)
    if force or not _is_current(folder, key):
        _write(folder, _contents(tables, runs, settings), key)
    return folder / "index.html"


def _check_several(tables: Sequence[Path], out: Path | None) -> None:
    if not tables:
        raise InputError("report: of nothing; name a run folder or a results file")
    if len(tables) > 1 and out is None:
        raise InputError(f"report: of {len(tables)} sources, so it belongs to none of them; add --out FOLDER")
    places = [table.resolve() for table in tables]
    if again := next((place for place in places if places.count(place) > 1), None):
        raise InputError(f"{again}: named twice; name each source once")


def _contents(
    tables: Sequence[Path], runs: Sequence[Mapping[str, Any] | None], settings: ReportSettings
) -> dict[str, str | bytes]:
    """Every file of the report by its name in the folder, made before the first one is written."""
    from scaling_report.analysis import analyse
    from scaling_report.markdown import render_markdown
    from scaling_report.page import render_page
    from scaling_report.saved import versions
    from scaling_report.story import tell
    from scaling_report.svg import draw, rasterise, vega_script

    results, run, name = _read(tables, runs)
    laws = analyse(results, settings, run, by_run=len(tables) > 1)
    made_of = [{"table": table.name, "sha256": hash_file(table)} for table in tables]
    laws["provenance"] = {"tables": made_of, "versions": versions()}
    story = tell(laws, run, name)
    drawings = {figure.id: draw(figure.spec) for figure in story.figures}
    return {
        **{f"figures/{name}.svg": drawing for name, drawing in drawings.items()},
        **{f"figures/{name}.png": drawing for name, drawing in rasterise(drawings).items()},
        "laws.json": json.dumps(laws, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "report.md": render_markdown(story),
        "index.html": render_page(story, drawings, vega_script()),
    }


def _read(
    tables: Sequence[Path], runs: Sequence[Mapping[str, Any] | None]
) -> tuple[list[Result], Mapping[str, Any] | None, str]:
    """The results, run.json's content where there is one, and what the report is called."""
    results = [read_results(table) for table in tables]
    for table, rows, run in zip(tables, results, runs, strict=True):
        if not rows and run is None:
            raise InputError(f"{table}: no results in it; measure a model first")
    if len(tables) == 1:
        return results[0], runs[0], _name(tables[0])
    named = name_sources([Source(*parts) for parts in zip(tables, results, runs, strict=True)])
    merged = merge_runs(named)
    return merge_results(named), merged, str(merged["run"])


def _write(folder: Path, contents: Mapping[str, str | bytes], key: str) -> None:
    """Write the files, drop those that only the report before had, and the manifest last."""
    if link := next(links_out(folder, depth=2), None):
        raise InputError(
            f"{link}: is a link that leads out of {folder}; put a folder or nothing in its place"
        )
    before = _read_manifest(folder)
    for name, content in contents.items():
        write_atomic(folder / name, content)
    files = {name: hash_file(folder / name) for name in contents}
    for name in set(before.get("files", {})) - set(files):
        (folder / name).unlink(missing_ok=True)
    write_json(folder / MANIFEST, {"version": VERSION, "key": key, "files": files})


def _is_current(folder: Path, key: str) -> bool:
    manifest = _read_manifest(folder)
    return manifest.get("key") == key and all(
        (folder / name).is_file() and hash_file(folder / name) == found
        for name, found in manifest["files"].items()
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished report; empty where there is none, or none that this program wrote.

    The files it names are in the folder, and so may be replaced.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except (InputError, NotADirectoryError):
        return {}
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        return {}
    files = manifest.get("files")
    return manifest if isinstance(files, dict) and all(map(is_inside, files)) else {}


def _key(tables: Sequence[Path], runs: Sequence[Mapping[str, Any] | None], settings: ReportSettings) -> str:
    told = [
        {name: value for name, value in (run or {}).items() if name != "made"} for run in runs
    ]  # a later look is not another run
    names = [str(table) for table in tables] if len(tables) > 1 else []  # runs may be called after them
    return hash_json(
        [VERSION, names, [hash_file(table) for table in tables], told, settings.model_dump(mode="json")]
    )


def _sources(source: Path) -> tuple[Path, Path | None]:
    """The results file, and the run.json beside it where `source` is a run folder that has one."""
    if not source.is_dir():
        return source, None
    table, run_file = source / "results.jsonl", source / "run.json"
    if not table.is_file():
        raise InputError(f"{source}: no results.jsonl in this folder; name a run folder or a results file")
    return table, run_file if run_file.is_file() else None


def _name(table: Path) -> str:
    """What a table is called: its folder's name where its own says nothing."""
    name = _stem(table)
    return table.resolve().parent.name if name == "results" else name


def _stem(table: Path) -> str:
    return table.name.split(".")[0]


def _report_folder(table: Path) -> Path:
    """`report` beside a run's results.jsonl, `<name>-report` beside another table."""
    name = _stem(table)
    return table.parent / ("report" if name == "results" else f"{name}-report")
