"""The commands that copy a run to object storage and back; nothing heavy before they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eval.files import InputError

Url = Annotated[
    str,
    typer.Argument(
        metavar="URL", help="s3://BUCKET/PREFIX, file:///FOLDER, hf://datasets/OWNER/NAME/PREFIX, …"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(mirror)
    app.command()(restore)


def mirror(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    url: Url,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file back, those that were there, too.")
    ] = False,
) -> None:
    """Copy what a run has finished to object storage, or any address that fsspec knows."""
    from pipelines.mirror import mirror_run
    from pipelines.remote import Remote

    done = mirror_run(folder, Remote(url), print, verify=verify)
    print(done.line())
    if complaint := done.complaint():
        raise InputError(complaint)


def restore(
    url: Url,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or the run's own.")],
) -> None:
    """Bring a mirrored run back; `stepladder run RECIPE --out DIR` then finds its stages finished."""
    from pipelines.remote import Remote, RemoteError
    from pipelines.restore import restore_run

    remote = Remote(url)
    try:
        found = restore_run(remote, folder, print)
    except RemoteError as error:
        raise InputError(f"{error}; what was fetched is kept, and the same command goes on") from error
    for note in found.notes:
        print(note)
    print(found.line())
    if found.damaged:
        reason = next(iter(found.damaged.values()))
        more = f"{len(found.damaged)} artefacts, the first: " if len(found.damaged) > 1 else ""
        raise InputError(
            f"{remote.shown}: left out, as damaged: {more}{reason}; mirror it again from a whole folder with "
            "`stepladder mirror DIR URL --verify`, or let `stepladder run` make it again"
        )
