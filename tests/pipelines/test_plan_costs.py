"""What a plan says that a recipe costs: sums, layouts, warnings, and the figures of papers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError, write_json
from pipelines import cli, costs, estimate
from pipelines.costs import PlanCosts, plan_costs
from pipelines.costs_json import to_json
from pipelines.flops import flops_6nd
from pipelines.hardware import parse_machine
from pipelines.known_models import published
from pipelines.ladder import Shape, count_classifier, count_params
from pipelines.plan import make_plan
from pipelines.plan_view import WIDTH, print_plan
from pipelines.rates import Terms
from pipelines.recipe_file import load_recipe
from pipelines.store import write_manifest

RECIPE = """\
name: tiny
corpus: {files: [text.txt]}
tokenizer: {train: bpe, vocab_size: 512}
context: 64
ladder: {rungs: {shapes: [1x32, 2x64]}}
budget: {tokens: 102_400}
training: {rule: small-ladder, batch_tokens: 1024}
report: {holdout: 1}
"""
LARGE = """\
name: large
corpus: {hub: somebody/text, max_bytes: 8e12}
tokenizer: {train: bpe, vocab_size: 50257}
context: 1024
ladder: {rungs: {shapes: [12x768, 32x4096, 96x12288]}, head_size: 64}
budget: {tokens: 100e9}
training: {rule: olmo-ladder}
report: {holdout: 1}
"""


@pytest.fixture(autouse=True)
def _unprobed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    estimate.calibration.cache_clear()


@pytest.fixture
def cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlanCosts]:
    """The costs of RECIPE, or of another text, on a machine."""
    monkeypatch.setattr("pipelines.corpus_hub.resolve_revision", lambda settings: ("main", None))
    (tmp_path / "text.txt").write_text("It was a bright cold day in April. " * 3000, encoding="utf-8")

    def made(hardware: str, *overrides: str, text: str = RECIPE, **terms: Any) -> PlanCosts:
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        loaded = load_recipe(str(path), overrides)
        wanted = Terms(machine=parse_machine(hardware), **terms)
        return plan_costs(make_plan(loaded), loaded.recipe, wanted, tmp_path / "runs" / "x")

    return made


def test_the_short_form_gives_the_published_flops_of_gpt3_and_chinchilla() -> None:
    """Brown 2020, table D.1: 3.14e23; Hoffmann 2022: 70B parameters on 1.4T tokens, 5.88e23 by 6ND."""
    gpt3 = count_params(Shape(96, 12_288, 96), 50_257, 2048)["total"]
    assert flops_6nd(gpt3, 300e9) == pytest.approx(3.14e23, rel=0.02)
    assert flops_6nd(175e9, 300e9) == pytest.approx(3.14e23, rel=0.02)
    assert flops_6nd(70e9, 1.4e12) == pytest.approx(5.88e23, rel=0.02)


@pytest.mark.parametrize(
    ("name", "total", "non_embedding"),
    [
        ("gpt2", 124_439_808, 85_056_000),
        ("gpt2-medium", 354_823_168, 302_311_424),
        ("gpt2-large", 774_030_080, 708_390_400),
        ("gpt2-xl", 1_557_611_200, 1_475_561_600),
    ],
)
def test_the_gpt2_family_has_its_counts_to_the_last_digit(name: str, total: int, non_embedding: int) -> None:
    known = published(name)
    assert known is not None
    assert (known.params["total"], known.params["non_embedding"]) == (total, non_embedding)
    assert total - non_embedding == (50_257 + 1024) * known.shape.n_embd


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("google/bert_uncased_L-2_H-128_A-2", 4_385_920),
        ("google/bert_uncased_L-4_H-256_A-4", 11_170_560),
        ("google/bert_uncased_L-4_H-512_A-8", 28_763_648),
        ("google/bert_uncased_L-8_H-512_A-8", 41_373_184),
        ("bert-base-uncased", 109_482_240),
        ("bert-large-uncased", 335_141_888),
    ],
)
def test_the_bert_family_has_its_counts_to_the_last_digit(name: str, encoder: int) -> None:
    """Encoder with pooler, as the checkpoints of Devlin 2018 and Turc 2019 hold."""
    known = published(name)
    assert known is not None
    assert count_classifier(known.shape, known.vocab_size, known.context, 0, "bert") == encoder


def test_time_energy_and_money_of_a_large_rung_are_the_arithmetic(cost: Callable[..., PlanCosts]) -> None:
    found = cost("64xh100", text=LARGE, price=2.0, mfu=0.5, watts=600)
    rung = found.trainings["pretrain-6.4b-s0"]
    by_hand = rung.load.flops / (64 * 989.5e12 * 0.5)
    assert rung.bound == "compute"
    assert rung.seconds == pytest.approx(by_hand, rel=0.03), "rows that do not divide, and the optimiser"
    hours = rung.device_seconds / 3600
    assert hours == pytest.approx(64 * rung.seconds / 3600)
    assert found.energy_kwh(rung.device_seconds) == pytest.approx(0.6 * hours)
    assert found.money(rung.device_seconds, rung.device_seconds) == pytest.approx(2.0 * hours)


def test_electricity_alone_is_paid_where_no_price_is_given(cost: Callable[..., PlanCosts]) -> None:
    owned, rented = cost("h100", electricity=0.3), cost("h100", electricity=0.3, price=2.0)
    hour = 3600.0
    assert owned.money(hour, hour) == pytest.approx(0.7 * 0.3)
    assert rented.money(hour, hour) == pytest.approx(0.7 * 0.3 + 2.0)
    assumed = cost("h100")
    assert assumed.rates.currency == "USD"
    assert "assumed" in assumed.rates.price_source


def test_this_processor_costs_what_the_recipe_says_and_else_nothing_is_said(
    cost: Callable[..., PlanCosts],
) -> None:
    unknown = cost("cpu")
    assert (unknown.energy_kwh(3600.0), unknown.money(3600.0, 3600.0)) == (None, None)
    told = cost("cpu", "report.watts=65", "report.price_per_hour=0.4", "report.currency=EUR")
    assert told.energy_kwh(3600.0) == pytest.approx(0.065)
    assert (told.money(3600.0, 3600.0), told.rates.currency) == (pytest.approx(0.4), "EUR")


def test_layouts_in_their_order_and_what_would_do_where_none_fits(cost: Callable[..., PlanCosts]) -> None:
    on_one, on_many = cost("h100", text=LARGE), cost("64xh100", text=LARGE)
    kinds = {cost.load.stage.settings["rung"]: cost.layout for cost in on_many.trainings.values()}
    assert {name: layout.kind for name, layout in kinds.items() if layout.fits} == {
        "85m": "data parallel",
        "6.4b": "fsdp",
    }
    assert kinds["6.4b"].needs == (f"training.workers={kinds['6.4b'].workers}", "training.sharding=fsdp")
    assert not on_one.trainings["pretrain-6.4b-s0"].layout.fits
    assert any(line.startswith("6.4b does not fit: --hardware 2xh100 would do") for line in on_one.warnings)
    (largest,) = [line for line in on_many.warnings if line.startswith("174b does not fit")]
    assert "on no number of these devices" in largest, "autocast's copies of its blocks alone are 348 GB"
    text = LARGE.replace("96x12288", "40x5120")
    (larger,) = [line for line in cost("h100", text=text).warnings if line.startswith("13b does not fit")]
    devices = larger.partition("--hardware ")[2].split()[0]
    again = cost(devices, "training.sharding=fsdp", "training.activation_checkpointing=true", text=text)
    assert again.trainings["pretrain-13b-s0"].layout.fits
    half = f"{int(devices.removesuffix('xh100')) // 2}xh100"
    again = cost(half, "training.sharding=fsdp", "training.activation_checkpointing=true", text=text)
    assert not again.trainings["pretrain-13b-s0"].layout.fits


def test_a_devices_other_name_is_advised_as_it_was_asked_for(cost: Callable[..., PlanCosts]) -> None:
    found = cost("h100-sxm", text=LARGE)
    (line,) = [line for line in found.warnings if line.startswith("6.4b does not fit: --hardware ")]
    advised = line.partition("--hardware ")[2].split()[0]
    assert parse_machine(advised).kind == "h100-sxm"


def test_a_rung_uses_no_more_devices_than_its_batch_has_rows_or_than_help(
    cost: Callable[..., PlanCosts],
) -> None:
    found = cost("64xh100")
    for each in found.trainings.values():
        assert (each.load.rows, each.layout.workers, each.bound) == (16, 1, "launches")
    wide = LARGE.replace("[12x768, 32x4096, 96x12288]", "[12x768, 48x1600]")
    large = cost("64xh100", "training.batch_tokens=8192", text=wide)
    assert {each.layout.workers for each in large.trainings.values()} <= {1, 2, 4, 8}


def test_activation_checkpointing_is_asked_for_where_it_saves_the_day(cost: Callable[..., PlanCosts]) -> None:
    long = LARGE.replace("[12x768, 32x4096, 96x12288]", "[12x768, 48x1600]").replace("1024", "16384")
    found = cost("a100-40", text=long)
    rung = found.trainings["pretrain-1.5b-s0"]
    assert rung.layout.fits
    assert rung.layout.checkpointing
    assert "1.5b fits with training.activation_checkpointing=true only" in found.warnings
    assert rung.recomputing.activations < rung.keeping.activations / 5
    # asked for, it is no news, and a third more work either way
    asked = cost("a100-40", "training.activation_checkpointing=true", text=long)
    assert not [line for line in asked.warnings if line.startswith("1.5b")]
    assert asked.trainings["pretrain-1.5b-s0"].seconds == rung.seconds


def test_a_part_of_a_batch_that_is_too_large_is_named_with_one_that_fits(
    cost: Callable[..., PlanCosts],
) -> None:
    found = cost("a100-40", "training.micro_tokens=1048576", text=LARGE)
    layout = found.trainings["pretrain-85m-s0"].layout
    assert f"85m fits with training.micro_tokens={layout.tokens_at_once} only" in found.warnings
    again = cost("a100-40", f"training.micro_tokens={layout.tokens_at_once}", text=LARGE)
    assert not [line for line in again.warnings if line.startswith("85m")]


def test_a_corpus_read_more_than_four_times_is_told_and_exactly_once_it_is_prepared(
    cost: Callable[..., PlanCosts], tmp_path: Path
) -> None:
    found = cost("cpu")
    assert found.corpus is not None
    assert found.corpus.train_tokens == pytest.approx(0.9 * 105_000 / 2.0)
    assert not [line for line in found.warnings if "corpus" in line]
    (line,) = cost("cpu", "budget.tokens=409_600").warnings
    assert " reads them about 8.7 times" in line
    stage = found.plan.stage("prepare-tokens")
    folder = tmp_path / "runs" / "x" / "stages" / stage.folder
    folder.mkdir(parents=True)
    write_manifest(stage, folder, {"tokens": {"train": 20_000, "validation": 900}}, 1.0)
    (line,) = cost("cpu").warnings
    assert line.startswith("the corpus has 20k tokens to train on, and ")
    assert " reads them 5.1 times; beyond four times" in line
    assert cost("cpu", "budget.tokens=71_680").warnings == (), "four times are nearly as good as new text"


def test_a_disk_with_too_little_free_is_told(
    cost: Callable[..., PlanCosts], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cost("cpu")
    assert found.disk_bytes is not None
    for free, told in ((found.disk_bytes - 1, 1), (found.disk_bytes, 0)):
        usage = shutil._ntuple_diskusage(1, 1, int(free))  # type: ignore[attr-defined]
        monkeypatch.setattr(costs.shutil, "disk_usage", lambda folder, usage=usage: usage)
        lines = [line for line in cost("cpu").warnings if "of disk in" in line]
        assert len(lines) == told


def test_disk_counts_models_stable_states_and_checkpoints_of_trainings_side_by_side(
    cost: Callable[..., PlanCosts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "choose_jobs", lambda plan, there: 1)
    found = cost("cpu")
    params = {
        each.load.stage.settings["rung"]: each.load.stage.settings["params"]["total"]
        for each in found.trainings.values()
    }
    kept = sum((4 + 12) * size for size in params.values())
    checkpoints = 3 * 12 * max(params.values())
    assert found.corpus is not None
    texts = 2 * found.corpus.train_tokens + 0.3 * 105_000
    assert found.disk_bytes == pytest.approx(kept + checkpoints + texts)
    assert cost("cpu", "training.schedule=cosine").disk_bytes == pytest.approx(
        found.disk_bytes - 12 * sum(params.values())
    )
    monkeypatch.setattr(costs, "choose_jobs", lambda plan, there: 2)
    both = cost("cpu").disk_bytes
    assert both == pytest.approx(found.disk_bytes + 3 * 12 * min(params.values()))


def test_disk_has_room_for_the_cleaned_text_beside_the_packed_while_a_corpus_is_made(
    cost: Callable[..., PlanCosts],
) -> None:
    tiny = ("ladder.rungs={shapes: [1x32]}", "report.holdout=0", "corpus.max_bytes=10_000")
    small = cost("cpu", *tiny)
    assert small.disk_bytes is not None
    assert small.disk_bytes >= 1.05 * 105_000 + 0.3 * 10_000, "text is thinned after it is cleaned"
    large = cost(
        "h100",
        "corpus.max_bytes=1e15",
        text=LARGE.replace(", 32x4096, 96x12288", "").replace("report: {holdout: 1}", "report: {holdout: 0}"),
    )
    assert large.disk_bytes == pytest.approx(1.35 * 1e15)


FINETUNED = (
    RECIPE
    + """\
tasks:
  mood: {kind: classification, files: {train: rows.jsonl, validation: rows.jsonl, test: rows.jsonl},
         columns: {text: t, label: l}}
finetune: [{task: mood, max_tokens: 32, epochs: 2, batch_size: 8}]
eval: {tasks: [perplexity, mood]}
"""
)


def tuning(found: PlanCosts) -> Any:
    """The smaller rung's fine-tuning."""
    return next(each.load for each in found.trainings.values() if each.load.stage.kind == "finetune")


@pytest.mark.parametrize("hardware", ["cpu", "h100"])
def test_fine_tuning_is_planned_on_the_rows_there_are(
    cost: Callable[..., PlanCosts], tmp_path: Path, capsys: pytest.CaptureFixture[str], hardware: str
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"t": "Well.", "l": "good"}\n', encoding="utf-8")

    def told(more: str = "") -> tuple[PlanCosts, str]:
        found = cost(hardware, text=FINETUNED.replace("batch_size: 8", f"batch_size: 8{more}"))
        print_plan(found.plan, found)
        return found, " ".join(capsys.readouterr().out.split())

    guessed, text = told()
    assert tuning(guessed).tokens == round(3000 * 2 * 32 * 0.6)
    assert "3,000 rows are guessed where max_rows is not given" in text
    most, text = told(", max_rows: 30_000")
    assert tuning(most).tokens == 10 * tuning(guessed).tokens
    assert tuning(most).steps == 10 * tuning(guessed).steps
    assert "are guessed" not in text
    name = tuning(guessed).stage.id
    assert most.trainings[name].seconds - 1 > 5 * (guessed.trainings[name].seconds - 1)
    rows = guessed.plan.stage(tuning(guessed).stage.inputs[-1])
    folder = tmp_path / "runs" / "x" / "stages" / rows.folder
    folder.mkdir(parents=True)
    write_manifest(rows, folder, {"rows": {"train": 300, "validation": 1, "test": 1}}, 1.0)
    made, text = told(", max_rows: 30_000")
    assert tuning(made).tokens * 10 == tuning(guessed).tokens
    assert made.trainings[name].seconds < guessed.trainings[name].seconds
    assert "are guessed" not in text


def test_a_classifier_is_planned_with_its_own_head_and_its_rows_length(
    cost: Callable[..., PlanCosts], tmp_path: Path
) -> None:
    """By hand for 1x32, rows of 32 tokens: 3 x (2 x (12·32² + 13·32 + 2·32 + labels·32) + 4·32·32)."""
    (tmp_path / "rows.jsonl").write_text('{"t": "Well.", "l": "good"}\n', encoding="utf-8")
    load = tuning(cost("h100", text=FINETUNED))
    body = 12 * 32**2 + 13 * 32 + 2 * 32
    assert load.flops_per_token == 3 * (2 * (body + 4 * 32) + 4 * 1 * 32 * 32)


def test_several_devices_are_asked_for_with_the_workers_that_start_them(
    cost: Callable[..., PlanCosts],
) -> None:
    text = LARGE.replace(", 96x12288", "")
    found = cost("64xh100", text=text)
    counts = {cost.load.stage.settings["rung"]: cost.layout.workers for cost in found.trainings.values()}
    assert min(counts.values()) > 1
    (line,) = [line for line in found.warnings if "training.workers" in line]
    value = line.partition("training.workers=")[2].partition(" with --executor ray")[0].strip('"')
    again = cost("64xh100", f"training.workers={value}", "training.sharding=fsdp", text=text)
    assert not [line for line in again.warnings if "disk" not in line]
    assert {c.load.stage.settings["rung"]: c.layout.workers for c in again.trainings.values()} == counts
    # what the recipe says is what is planned, though fewer would nearly do
    fixed = cost("64xh100", "training.workers=16", "training.sharding=fsdp", text=text)
    assert {each.layout.workers for each in fixed.trainings.values()} == {16}
    assert not [line for line in cost("h100", text=text).warnings if "training.workers" in line]
    too_many = cost("8xh100", "training.workers=16", "training.sharding=fsdp", text=text)
    assert any("training.workers=8 with --executor ray" in line for line in too_many.warnings)


def test_a_chain_of_lengths_pays_for_each_token_once(cost: Callable[..., PlanCosts]) -> None:
    found = cost("h100", "budget.tokens=[51_200, 102_400]")
    short, long = (found.trainings[f"pretrain-13k-s0{end}"] for end in ("", "-102k"))
    decay = round(0.2 * short.load.steps)
    assert (short.load.steps, long.load.steps) == (50, 100 - (50 - decay))
    assert long.load.tokens == long.load.steps * 1024


def test_all_of_it_takes_as_long_as_its_longest_chain_or_its_share_of_the_devices(
    cost: Callable[..., PlanCosts],
) -> None:
    one, many = cost("h100"), cost("8xh100")
    assert one.seconds == pytest.approx(one.preparation_seconds + one.busy_device_seconds)
    chains = [each.seconds + 1.5 for each in many.trainings.values()]  # with its evaluation
    assert many.seconds == pytest.approx(many.preparation_seconds + max(chains))
    training = many.seconds - many.preparation_seconds
    paid = to_json(many)["total"]["money"]
    assert paid == pytest.approx(8 * training / 3600 * 2.5), "nothing for GPUs while text is prepared"
    here = cost("cpu", "report.price_per_hour=0.4")
    assert to_json(here)["total"]["money"] == pytest.approx(here.seconds / 3600 * 0.4)


def test_json_has_every_figure_with_its_unit_and_no_infinity(cost: Callable[..., PlanCosts]) -> None:
    found = json.loads(json.dumps(to_json(cost("8xh100", text=LARGE)), allow_nan=False))
    by_name = {rung["rung"]: rung for rung in found["rungs"]}
    small = by_name["85m"]
    assert (small["parameters_total"], small["parameters_non_embedding"]) == (124_439_808, 85_056_000)
    assert small["parameters_matmul"] == 85_056_000 + 50_257 * 768
    assert small["flops_6nd_total"] == pytest.approx(6 * 124_439_808 * small["tokens"])
    memory = small["layout"]["memory"]
    assert memory["peak_bytes"] == sum(
        memory[f"{part}_bytes"]
        for part in ("weights", "gradients", "optimiser", "activations", "working", "gathered")
    )
    first, second = small["activations_by_tokens_at_once"][:2]
    assert second["activations_bytes"] == 2 * first["activations_bytes"]
    assert first["activations_with_checkpointing_bytes"] < first["activations_bytes"]
    assert by_name["174b"]["seconds"] is None
    assert by_name["174b"]["layout"]["instead"]
    assert found["total"]["seconds"] is None, "a sum with a part missing is no total"


@pytest.mark.parametrize("hardware", ["cpu", "h100", "64xh100"])
def test_what_is_printed_is_readable_at_a_hundred_columns(
    cost: Callable[..., PlanCosts], capsys: pytest.CaptureFixture[str], hardware: str
) -> None:
    for text in (RECIPE, LARGE):
        found = cost(hardware, text=text)
        print_plan(found.plan, found)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= WIDTH
        assert any(line.startswith("on ") for line in lines)


def command(
    *words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["stepladder", "plan", *words])
    code = 0
    try:
        cli.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = capsys.readouterr()
    return code, said.out if code == 0 else said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--hardware", "h10"), "error: --hardware: 'h10' is no machine known here; did you mean h100"),
        (("--mfu", "0"), "error: --mfu: 0 is no share of a peak; give a number above 0, at most 1"),
        (("--mfu", "nan"), "error: --mfu: nan is no share"),
        (("--mfu", "0.4"), "error: --mfu: 0.4 is a share of a GPU's peak; it needs --hardware of a GPU"),
        (("--price", "nan"), "error: Invalid value for '--price'"),
        (("--price", "-1"), "error: Invalid value for '--price'"),
        (("--watts", "inf"), "error: --watts: inf is no amount; give a finite number"),
        (("--hardware", "h100", "--probe"), "error: --probe: measures this processor; leave --hardware out"),
    ],
)
def test_a_slip_is_one_line_and_exit_code_2(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, text = command("smoke", *words, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert text.startswith(said)
    assert text.count("\n") == 1


def test_the_command_prints_json_alone(
    tmp_path: Path,
    cost: Callable[..., PlanCosts],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cost("cpu")  # writes the recipe
    words = (str(tmp_path / "recipe.yaml"), "--hardware", "8xh200", "--json")
    code, text = command(*words, capsys=capsys, monkeypatch=monkeypatch)
    found = json.loads(text)
    assert (code, found["hardware"]["devices"], found["here_it_would_not_run"]) == (0, 8, None)


def test_a_kept_probe_is_what_later_plans_use_and_a_broken_one_is_not(cost: Callable[..., PlanCosts]) -> None:
    before = cost("cpu")
    path = estimate.probe_path()
    path.parent.mkdir(parents=True)
    write_json(path, {"seconds_per_token": 6e-5, "flops_per_second": 1.2e10, "date": "2026-01-02"})
    estimate.calibration.cache_clear()
    after = cost("cpu")
    slow, fast = (found.trainings["pretrain-13k-s0"].seconds for found in (after, before))
    assert slow - 1 == pytest.approx(10 * (fast - 1))
    assert "2026-01-02" in to_json(after)["rates"]["time_source"]
    for broken in ("{", "[]", '{"seconds_per_token": -1, "flops_per_second": 1, "date": ""}', '{"date": 1}'):
        path.write_text(broken, encoding="utf-8")
        estimate.calibration.cache_clear()
        assert "built-in" in to_json(cost("cpu"))["rates"]["time_source"]


def test_an_unreadable_file_of_the_corpus_is_still_the_plan_s_own_error(
    cost: Callable[..., PlanCosts],
) -> None:
    with pytest.raises(InputError, match="nowhere"):
        cost("h100", "corpus.files=[nowhere.txt]")
