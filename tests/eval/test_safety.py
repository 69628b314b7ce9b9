"""Strangers' names, links, packed files and settings: what is refused, and that honest ones pass."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from eval.files import InputError, read_jsonl, read_text, write_jsonl
from eval.parquet import read_parquet
from eval.safety import MOST_RATIO, is_inside, links_out, plain_line, redact
from eval.tables import read_table
from eval.tasks.find import find_task
from eval.yaml_text import parse_yaml

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"login with {TOKEN}.", "login with ***."),
        ("https://me:secret@host/x", "https://***@host/x"),
        ("s3://key:secret@bucket/x and y@z", "s3://***@bucket/x and y@z"),
        ("GET /x?access_token=abc123&n=1", "GET /x?access_token=***&n=1"),
        ("x?X-Amz-Signature=00ff&X-Amz-Credential=a/b", "x?X-Amz-Signature=***&X-Amz-Credential=***"),
        ("ghp_" + "a1" * 18, "***"),
        ("AKIA" + "A1" * 8, "***"),
        ("key=sk-ant-api03-" + "aB3" * 9, "key=***"),
        ("see.HTTPS://me:secret@host, git+ssh://me:secret@host", "see.HTTPS://***@host, git+ssh://***@host"),
    ],
)
def test_secrets_are_not_shown(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "hf_hub_download of https://huggingface.co/gpt2/resolve/main/config.json?download=true",
        "0123456789abcdef0123456789abcdef01234567",
        "write to me@example.com, see a/b@main",
        "task sk-learn, key=value, ?monkey=1",
        "corpora/sk-en-europarl-v10-cleaned/train.jsonl",
        "sk-en-europarl-v10-cleaned, corpora/sk-en-Europarl-v10-cleaned",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("part", ["a.", "a", "://", "a://", "sk-", "sk-A1", "?token", "?key=", "hf_"])
def test_a_text_of_a_million_characters_is_looked_through_in_time(part: str) -> None:
    code = "import sys; from eval.safety import redact; redact(sys.argv[1] * (1_000_000 // len(sys.argv[1])))"
    subprocess.run([sys.executable, "-c", code, part], check=True, timeout=60)  # it took hours


def test_a_token_of_the_environment_is_hidden_whatever_it_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "open sesame")
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert redact("he said open sesame to x") == "he said *** to x"


def test_a_line_for_a_terminal_has_no_control_characters() -> None:
    assert plain_line("a\x1b[2J\nb\u202ec é") == "a\\x1b[2J\\nb\\u202ec é"


@pytest.mark.parametrize("name", ["a", "a/b.svg", "figures/x..y.svg", "model/config.json"])
def test_names_in_a_folder(name: str) -> None:
    assert is_inside(name)


@pytest.mark.parametrize(
    "name",
    ["", "..", "../x", "a/../../x", "/x", "C:\\x", "C:x", "\\\\h\\s\\x", "a\\..\\..\\x", "a\0b", "a\nb"],
)
def test_names_that_lead_out_of_a_folder_or_are_none(name: str) -> None:
    assert not is_inside(name)


def test_links_out_of_a_folder_are_found_and_links_within_are_not(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "run-other"
    (run / "stages").mkdir(parents=True)
    other.mkdir()
    (run / "within").symlink_to("stages")
    assert list(links_out(run, 2)) == []
    (run / "stages" / "out").symlink_to(other)  # a neighbour whose name begins alike
    (run / "gone").symlink_to("../nowhere")
    assert list(links_out(run)) == [run / "gone"]
    assert set(links_out(run, 2)) == {run / "gone", run / "stages" / "out"}


@pytest.mark.parametrize(
    "read", [read_text, lambda path: list(read_jsonl(path)), lambda path: list(read_table(path))]
)
def test_a_file_that_unpacks_to_far_more_than_it_is_is_refused(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.safety.ALWAYS_BYTES", 2**16)
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * 2**20))
    assert MOST_RATIO * path.stat().st_size < 2**20
    with pytest.raises(InputError, match=r"unpacks to more than 200 times its size.*unpack it yourself"):
        read(path)


def test_a_packed_file_of_any_honest_text_is_read(tmp_path: Path) -> None:
    rows = [{"text": f"line {number} of many"} for number in range(50_000)]
    write_jsonl(tmp_path / "rows.jsonl.gz", rows)
    assert list(read_jsonl(tmp_path / "rows.jsonl.gz")) == rows


def test_a_parquet_file_that_declares_far_more_than_it_is_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet.write_table(pyarrow.table({"a": [0] * 100_000}), tmp_path / "rows.parquet")
    assert len(list(read_table(tmp_path / "rows.parquet"))) == 100_000
    monkeypatch.setattr("eval.parquet.ALWAYS_CELLS", 10_000)
    with pytest.raises(InputError, match=r"rows\.parquet: .* 100,000 rows, as no honest table does"):
        next(iter(read_table(tmp_path / "rows.parquet")))
    monkeypatch.setattr("eval.parquet.ALWAYS_BYTES", 2**16)
    wide = pyarrow.table({"text": ["x" * 2**20]})
    packed = io.BytesIO()
    parquet.write_table(wide, packed, compression="zstd", use_dictionary=False)
    (tmp_path / "wide.parquet").write_bytes(packed.getvalue())
    with pytest.raises(InputError, match="that unpack to"):
        next(iter(read_table(tmp_path / "wide.parquet")))


def test_an_honest_parquet_file_of_codes_or_of_many_columns_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.parquet.ALWAYS_CELLS", 1_000)
    monkeypatch.setattr("eval.parquet.ALWAYS_BYTES", 2**12)
    coded = {"label": ["yes", "no", "no"] * 4_000, "answer": [{"text": ["x", "y"]}] * 12_000}
    parquet.write_table(pyarrow.table(coded), tmp_path / "coded.parquet")
    assert (tmp_path / "coded.parquet").stat().st_size < 2 * 12_000  # more cells than bytes
    assert [row["label"] for row in read_table(tmp_path / "coded.parquet")] == coded["label"]
    rows = read_parquet(tmp_path / "coded.parquet", ["answer"])
    assert [row["answer"] for row in rows] == coded["answer"]

    wide = {f"c{number}": pyarrow.nulls(60_000, pyarrow.int8()) for number in range(20)}
    wide |= {"text": pyarrow.array(["so"] * 60_000), "big": pyarrow.array(["x" * 400] * 60_000)}
    place = tmp_path / "wide.parquet"
    parquet.write_table(pyarrow.table(wide), place, compression="zstd", use_dictionary=["text"])
    with pytest.raises(InputError, match="as no honest table does"):
        next(iter(read_parquet(place)))
    assert [row["text"] for row in read_parquet(place, ["text"])] == ["so"] * 60_000


def said(text: str) -> str:
    with pytest.raises(InputError) as error:
        parse_yaml(text, lambda line, column: f"x.yaml:{line}:{column}")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_settings_of_any_size_are_refused_before_they_are_built() -> None:
    assert said("a: " + "x" * 1_000_000).startswith(
        "x.yaml:1:1: 1,000,003 characters, where settings may have"
    )
    assert "more than 10,000 values" in said("- 1\n" * 10_001)
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    assert "aliases (*) write out too much" in said(bomb)
    assert "nested too deeply" in said("[" * 100 + "]" * 100)


def test_a_secret_in_settings_is_refused_by_place_and_not_repeated() -> None:
    told = said(f"a: 1\nb: {{c: 'https://me:{TOKEN}@host'}}")
    assert told.startswith("x.yaml:2:8: holds what looks like an access token or a password")
    assert TOKEN not in told
    assert TOKEN not in said(f"{TOKEN}: 1")


def test_a_task_cannot_be_called_what_windows_keeps_for_itself(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "so"}')
    (tmp_path / "task.yaml").write_text("kind: language-modelling\nfiles: {test: rows.jsonl}\nname: con\n")
    with pytest.raises(InputError, match=r"name: 'con' is a name that Windows keeps for itself"):
        find_task(str(tmp_path / "task.yaml"))
