"""Measure asking a model beside lm-evaluation-harness and plain `generate`, and print the table.

    python benchmarks/evaluation.py                 # ten minutes on two cores; nothing else should run
    python benchmarks/evaluation.py --quick         # one round

One freshly made GPT-2 (4 layers, width 128, 256 positions, a byte-level BPE of 2,048 made from the standard
library's source) in float32 is asked three things: the rolling perplexity of 300 KB of that source, in
windows of a whole context; which of four continuations of 10 tokens is the likeliest after each of 300
contexts of 200; and 192 greedy texts whose limits vary from 4 to 160 tokens. The first two go through this
package's functions and through lm-evaluation-harness's HFLM (the first also through its command, on a local
task), the third through this package's and `model.generate` in file order, each batch as long as its
longest. Each side first chooses its best of several batch sizes; then they take turns, each time in a
process of its own. "Whole" is that process from start to end: import, load, tokenise, answer. "Inner" is
asking alone, tokenising counted. Figures are medians of the rounds; answers are compared. How fast a machine
is, is not a test: the exit code is 0.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

CONTEXT, VOCABULARY, TEXT_BYTES = 256, 2048, 300_000
BATCHES = {"ours": (2048, 4096, 16384), "other": (4, 16, 64)}  # padded tokens; rows
COMMAND_BATCHES = {"ours": (4096,), "other": (16,)}  # what is best where HFLM is called
JOBS = {
    "rolling": "rolling perplexity, 300 KB",
    "command": "the same by lm-eval's command",
    "choices": "300 x 4 continuations",
    "generation": "192 texts, limits 4 to 160",
}
TARGETS = {
    "rolling": ("whole", 3.0),
    "command": ("whole", 3.0),
    "choices": ("inner", 2.0),
    "generation": ("inner", 2.0),
}


class Run(NamedTuple):
    """One process: seconds of all of it and of asking, and what was answered."""

    whole: float
    inner: float
    answer: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--worker", nargs=3, metavar=("JOB", "SIDE", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--batches", nargs="+", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        job, side, folder = options.worker
        work(job, side, Path(folder), options.batches)
        return
    os.environ |= {name: str(options.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path[1:]])
    rounds = 1 if options.quick else options.rounds
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        print(f"{options.threads} threads, {rounds} rounds\n\n{HEAD}", flush=True)
        for job in options.jobs:
            print(row(job, measure(job, folder, rounds)), flush=True)
    print(f"\n`python -c 'import eval.results'`: {import_seconds(rounds) * 1000:.0f} ms (target 50)")


HEAD = """\
| what | ours whole | other whole | times | ours inner | other inner | times | target | batches |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |"""


def measure(job: str, folder: str, rounds: int) -> tuple[dict[str, list[Run]], dict[str, int]]:
    """Both sides' runs, at the best of their batch sizes."""
    best = {}
    for side, sizes in (BATCHES if job != "command" else COMMAND_BATCHES).items():
        tried = json.loads(start(job, side, folder, sizes).stdout)
        best[side] = min(tried, key=lambda one: one["inner"])["batch"]
    runs: dict[str, list[Run]] = {side: [] for side in BATCHES}
    for _ in range(rounds):
        for side, found in runs.items():
            began = time.perf_counter()
            (answered,) = json.loads(start(job, side, folder, [best[side]]).stdout)
            found.append(Run(time.perf_counter() - began, answered["inner"], answered["answer"]))
    same(job, runs["ours"][0].answer, runs["other"][0].answer)
    return runs, best


def start(job: str, side: str, folder: str, sizes: Sequence[int]) -> subprocess.CompletedProcess[str]:
    """The worker's whole process."""
    command = [sys.executable, __file__, "--worker", job, side, folder, "--batches", *map(str, sizes)]
    if (job, side) == ("command", "other"):
        return by_command(Path(folder), sizes[0])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done


def by_command(folder: Path, rows: int) -> subprocess.CompletedProcess[str]:
    """The harness's own command on a task of one document; its bits per byte as nats."""
    command = [str(Path(sys.executable).with_name("lm_eval")), "--model", "hf", "--tasks", "rolling"]
    command += ["--model_args", f"pretrained={folder},dtype=float32", "--device", "cpu"]
    command += ["--include_path", str(folder / "task"), "--batch_size", str(rows)]
    command += ["--output_path", str(folder / "found.json")]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    (found,) = folder.glob("found*.json")
    bits = json.loads(found.read_text())["results"]["rolling"]["bits_per_byte,none"]
    found.unlink()
    nats = bits * math.log(2) * (folder / "text.txt").stat().st_size
    answer = {"batch": rows, "inner": time.perf_counter() - began, "answer": [nats]}
    return subprocess.CompletedProcess(command, 0, json.dumps([answer]))


def same(job: str, ours: list[float], other: list[float]) -> None:
    """Both sides answered the same: nats to 1e-4 of them, texts to the token but where two are as likely."""
    assert len(ours) == len(other), job
    apart = sum(abs(a - b) > 1e-4 * max(1.0, abs(b)) for a, b in zip(ours, other, strict=True))
    if apart:
        print(f"{job}: {apart} of {len(ours)} answers differ", file=sys.stderr)


def row(job: str, measured: tuple[dict[str, list[Run]], dict[str, int]]) -> str:
    runs, best = measured
    cells = []
    for name in ("whole", "inner"):
        ours, other = (statistics.median(getattr(run, name) for run in runs[side]) for side in BATCHES)
        cells += [f"{ours:.2f} s", f"{other:.2f} s", f"{other / ours:.2f}x"]
    name, times = TARGETS[job]
    batches = f"{best['ours']} tokens, {best['other']} rows"
    return f"| {JOBS[job]} | {' | '.join(cells)} | {name} {times:g}x | {batches} |"


def import_seconds(rounds: int) -> float:
    """Median seconds of a process that imports what all rooms share."""
    times = []
    for _ in range(2 * rounds + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import eval.results"], check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


TASK = """\
task: rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: bits_per_byte}}]
"""


def make(folder: Path) -> None:
    """A text, a tokenizer and a model, as anybody would save them."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    library = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    source = "\n".join(path.read_text(encoding="utf-8", errors="ignore") for path in library).encode()
    text = source[:TEXT_BYTES].decode(errors="ignore")
    (folder / "text.txt").write_bytes(text.encode())
    (folder / "task").mkdir()
    (folder / "task" / "rows.json").write_text(json.dumps({"text": text}) + "\n")
    (folder / "task" / "rolling.yaml").write_text(TASK.format(rows=folder / "task" / "rows.json"))
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([source[TEXT_BYTES : 8 * TEXT_BYTES].decode(errors="ignore")], trainer)
    end = "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=end, eos_token=end, pad_token=end)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=4,
        n_embd=128,
        n_head=4,
        n_positions=CONTEXT,
        vocab_size=VOCABULARY,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.1,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)


Ask = Callable[[int], list[float]]


def work(job: str, side: str, folder: Path, sizes: Sequence[int]) -> None:
    """Load, ask with each batch size, and print what was answered and in what time."""
    ask = {"ours": ours, "other": generate_plainly if job == "generation" else harness}[side](job, folder)
    found = []
    for size in sizes:
        began = time.perf_counter()
        answer = ask(size)
        found.append({"batch": size, "inner": time.perf_counter() - began, "answer": answer})
    print(json.dumps(found))


def ours(job: str, folder: Path) -> Ask:
    """Ask through this package's functions; only what the job needs is imported, as its commands do."""
    from eval.batching import BatchLimits
    from eval.loading import load_model
    from eval.settings import EvalSettings
    from eval.tasks import TASKS

    model = load_model(folder, TASKS["perplexity"], EvalSettings())

    def rolling(tokens: int) -> list[float]:
        from eval.model import score_texts
        from eval.requests import ScoreRequest
        from eval.tasks.encoding import encode_texts

        (ids,) = encode_texts(model.tokenizer, [(folder / "text.txt").read_text(encoding="utf-8")])
        limits = BatchLimits(tokens)
        (score,) = score_texts(model, [ScoreRequest([0, *ids])], stride=CONTEXT, limits=limits)
        return [score.nats]

    def choices(tokens: int) -> list[float]:
        from eval.continuing import score_continuations
        from eval.requests import ContinuationRequest

        asked = [ContinuationRequest(context, four) for context, four in items()]
        scores = score_continuations(model, asked, limits=BatchLimits(tokens))
        return [score.nats for four in scores for score in four]

    def generation(tokens: int) -> list[float]:
        from eval.generating import generate
        from eval.requests import GenerateRequest

        asked = [GenerateRequest(prompt, limit) for prompt, limit in prompts()]
        written = generate(model, asked, stops=[0], limits=BatchLimits(tokens))
        return [float(token) for text in written for token in text]

    return {"rolling": rolling, "command": rolling, "choices": choices, "generation": generation}[job]


def harness(job: str, folder: Path) -> Ask:
    """Ask through lm-evaluation-harness."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=1)

    def rolling(rows: int) -> list[float]:
        model.batch_size_per_gpu = rows
        text = (folder / "text.txt").read_text(encoding="utf-8")
        asked = Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
        return [-value for value in model.loglikelihood_rolling([asked], disable_tqdm=True)]

    def choices(rows: int) -> list[float]:
        model.batch_size_per_gpu = rows
        asked = [(("", ""), context, one) for context, four in items() for one in four]
        return [-nats for nats, _ in model._loglikelihood_tokens(asked, disable_tqdm=True)]

    return {"rolling": rolling, "choices": choices}[job]


def generate_plainly(job: str, folder: Path) -> Ask:
    """Write with `model.generate`: in file order, in padded batches that end with their longest text."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def write(rows: int) -> list[float]:
        asked, found = prompts(), []
        for begin in range(0, len(asked), rows):
            batch = asked[begin : begin + rows]
            width = max(len(prompt) for prompt, _ in batch)
            ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt, _ in batch])
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p, _ in batch])
            longest = max(limit for _, limit in batch)
            written: Any = model.generate(
                ids, attention_mask=mask, max_new_tokens=longest, do_sample=False, pad_token_id=0
            )
            for (_, limit), text in zip(batch, written[:, width:].tolist(), strict=True):
                end = text.index(0) + 1 if 0 in text else len(text)
                found += text[: min(limit, end)]
        return [float(token) for token in found]

    return write


def items() -> list[tuple[list[int], list[list[int]]]]:
    """Contexts with four continuations each, as ids."""
    import numpy as np

    ids = np.random.default_rng(0).integers(1, VOCABULARY, (300, 240)).tolist()
    return [(row[:200], [row[begin : begin + 10] for begin in range(200, 240, 10)]) for row in ids]


def prompts() -> list[tuple[list[int], int]]:
    """Prompts of 8 to 63 tokens; limits are mostly short: 4 plus an exponential's draw, 160 at most."""
    import numpy as np

    rng = np.random.default_rng(1)
    limits = np.minimum(160, 4 + rng.exponential(30, 192)).astype(int).tolist()
    lengths = rng.integers(8, 64, 192).tolist()
    return [
        (rng.integers(1, VOCABULARY, length).tolist(), limit)
        for length, limit in zip(lengths, limits, strict=True)
    ]


if __name__ == "__main__":
    main()
