"""The split keeps files whole, gives every package its share, and depends on names alone."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest

from pipelines.corpus_document import SPLITS, Document
from pipelines.split import choose, group, name_hash, split_documents, thin


def _library() -> list[Document]:
    """Two packages of 40 files and some loose modules; each file gives one to three documents."""
    chance = random.Random(0)
    documents = []
    for file in [f"{package}/m{number}.py" for package in ("alpha", "beta") for number in range(40)] + [
        f"loose{number}.py" for number in range(6)
    ]:
        for part in range(chance.randint(1, 3)):
            text = "x" * chance.randint(200, 5000)
            documents.append(Document(f"{file}#{part}", text, group=file, stratum=file.rpartition("/")[0]))
    return documents


def _split(
    documents: list[Document], validation: float = 0.1, test: float = 0.1
) -> dict[str, list[Document]]:
    splits = split_documents(_groups(documents), validation, test)
    return {
        name: [d for d, split in zip(documents, splits, strict=True) if split == number]
        for number, name in enumerate(SPLITS)
    }


def _groups(documents: list[Document]):  # type: ignore[no-untyped-def]
    return group(
        np.array([name_hash(d.group) for d in documents], dtype=np.uint64),
        np.array([name_hash(d.stratum) for d in documents], dtype=np.uint64),
        np.array([len(d.text) for d in documents]),
    )


def test_every_document_is_in_one_split_and_every_file_too() -> None:
    documents = _library()
    splits = _split(documents)
    assert sorted(d.id for members in splits.values() for d in members) == sorted(d.id for d in documents)
    groups = {split: {d.group for d in members} for split, members in splits.items()}
    assert not groups["train"] & groups["validation"]
    assert not groups["train"] & groups["test"]
    assert not groups["validation"] & groups["test"]


def test_every_package_gives_its_share_of_bytes() -> None:
    splits = _split(_library())
    for package in ("alpha", "beta"):
        size = {s: sum(len(d.text) for d in splits[s] if d.stratum == package) for s in SPLITS}
        for split in ("validation", "test"):
            assert 0.1 <= size[split] / sum(size.values()) <= 0.15


def test_the_split_depends_neither_on_order_nor_on_chance() -> None:
    documents = _library()
    shuffled = random.Random(1).sample(documents, len(documents))
    first, second = (_split(given) for given in (documents, shuffled))
    for split in SPLITS:
        assert {d.id for d in first[split]} == {d.id for d in second[split]}


def test_the_first_files_by_the_hash_of_their_names_are_the_test() -> None:
    """The rule itself, so that a corpus prepared by an earlier version is split the same."""
    documents = [Document(f"f{n}", "x" * 100, group=f"f{n}") for n in range(100)]
    order = sorted((d.id for d in documents), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    splits = _split(documents)
    assert {d.id for d in splits["test"]} == set(order[:10])
    assert {d.id for d in splits["validation"]} == set(order[10:20])


@pytest.mark.parametrize(("files", "full"), [(1, ["train"]), (2, ["train", "test"]), (3, list(SPLITS))])
def test_few_files_fill_train_first(files: int, full: list[str]) -> None:
    documents = [Document(f"{n}", "text" * 9, group=f"{n}") for n in range(files)]
    splits = _split(documents, 0.05, 0.05)
    assert sorted(split for split, members in splits.items() if members) == sorted(full)


def test_choose_takes_what_fits_and_never_breaks_the_limit() -> None:
    sizes = np.array([1000, *[10] * 20])
    chosen = choose(sizes, 50, limit=75, at_least=1)
    assert 0 not in chosen
    assert sizes[chosen].sum() == 50
    assert choose(np.array([900, 800]), 50, limit=75, at_least=1) == [1], "the smallest, when none fits"


def test_thin_keeps_every_package_at_about_the_size_asked() -> None:
    documents = _library()
    kept = thin(_groups(documents), 60_000)
    thinned = [d for d, stays in zip(documents, kept, strict=True) if stays]
    assert 50_000 <= sum(len(d.text) for d in thinned) <= 66_000
    assert {d.stratum for d in thinned} == {"alpha", "beta", ""}
    groups = {d.group for d in thinned}
    assert [d for d in documents if d.group in groups] == thinned, "files stay whole"
    assert thin(_groups(documents), 10**9).all()
