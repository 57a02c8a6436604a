#!/usr/bin/env python3
"""Writes the tokens that transformers generates for the fixtures of decoders: tests/generation/transformers-VERSION.tsv.

  tools/make_generation.py [MODEL_TYPE...]

Needs torch, safetensors, numpy, and the version of transformers that the file is named after; lines of other types stay.
A line holds a fixture, a way to generate (`greedy`, or `beam` with 3 beams), and the new tokens of the three rows. The
prompts are those of tests/generation_test.cpp: 7, 4 and 2 tokens, padded on the left. Where the original cannot
generate in one of these ways, the line gives its error instead of tokens. Tokens count only if slightly disturbed
weights give the same; else they end before the first one that differs. They are those of a run without the
original's cache, which some do not reorder for beams (CACHED: with it); a remark follows where the other way gives
others or fails."""
import copy
import json
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.dont_write_bytecode = True
import make_golden

GENERATED = make_golden.GOLDEN.parent / "generation"
TASK = "text-generation-with-past"
# Beside the first fixture of every type: other positions and masks.
SPECIAL = ["phi3/" + TASK + "+longrope", "falcon/" + TASK + "+alibi", "qwen2/" + TASK + "+sliding"]
CACHED = ["gemma3n_text"]  # with a cache: only then do its layers share keys and values, as they were trained
UNDECIDED = {
    ("minimax_m3_vl_text", "greedy"): "the original is wrong behind padding",
    ("minimax_m3_vl_text", "beam"): "the original is wrong behind padding",
    ("dots3_note_text", "greedy"): "scores of its indexer are equal where its choice ends",
}
WAYS = {"greedy": (1, 20), "beam": (3, 10)}  # beams, new tokens


def prompts(vocab_size):
    import torch

    ids = torch.tensor([[5 + (7 * i + 31 * row) % (vocab_size - 5) for i in range(7)] for row in range(3)])
    mask = torch.tensor([[int(i >= min(3 * row, 5)) for i in range(7)] for row in range(3)])
    return ids, mask


def for_generation(tensors, vocabulary=99):
    """Changes the recipe of a fixture's checkpoint in place where the model would repeat one token whatever it reads: a
    table of tokens that is also the head gets smaller values, and the layers of Kosmos-2 less bias."""
    tables = [name for name, tensor in tensors.items() if tensor["shape"][:1] == [vocabulary]]
    layers = "text_model.model.layers."  # of Kosmos-2
    if any(name.startswith(layers) for name in tensors):
        for name, tensor in tensors.items():
            if name.startswith("text_model.") and name not in tables:
                tensor["halfwidth"] *= 0.1 if name.endswith("bias") else 3 if len(tensor["shape"]) == 2 else 1
    elif len(tables) == 1:
        tensors[tables[0]]["halfwidth"] /= 10


def write_checkpoint(fixture, folder, edit=lambda tensors: None):
    recipe = json.loads((fixture / "weights.json").read_text())
    edit(recipe["tensors"])
    verbatim = {}
    if (fixture / "verbatim.safetensors").exists():
        from safetensors.torch import load_file
        verbatim = load_file(fixture / "verbatim.safetensors")
    for name in ("config.json", "generation_config.json"):
        if (fixture / name).exists():
            (folder / name).write_text((fixture / name).read_text())
    make_golden.write_checkpoint(folder, recipe["tensors"], recipe["seed"], verbatim)


def load(folder):
    """The class that config.json names, as float32."""
    import torch
    import transformers

    config = json.loads((folder / "config.json").read_text())
    named = getattr(transformers, (config.get("architectures") or [""])[0], None)
    kind = named if named and hasattr(named, "prepare_inputs_for_generation") else transformers.AutoModelForCausalLM
    return kind.from_pretrained(folder, dtype=torch.float32).eval()


def without_positions(model):
    """The model when nobody gives it positions, as where the fixture's interface has none."""
    prepare = model.prepare_inputs_for_generation

    def prepare_without(*args, **kwargs):
        return {name: value for name, value in prepare(*args, **kwargs).items() if name != "position_ids"}

    model.prepare_inputs_for_generation = prepare_without


def generate(model, beams, count, use_cache=False):
    """The new tokens of each row. Without a cache by default: some originals do not reorder theirs for beams."""
    import torch

    gives_positions = model.gives_positions
    model = copy.deepcopy(model)
    if not gives_positions:
        without_positions(model)
    ids, mask = prompts(model.config.get_text_config().vocab_size)
    model.generation_config = type(model.generation_config)(eos_token_id=None, pad_token_id=0)
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, num_beams=beams, max_new_tokens=count,
                             min_new_tokens=count, use_cache=use_cache != (model.config.model_type in CACHED))
    return out[:, ids.shape[1]:].tolist()


def agreed(rows, others):
    """The columns before the first that differs."""
    count = len(rows[0])
    for other in others:
        for a, b in zip(rows, other):
            count = min([count] + [i for i, (x, y) in enumerate(zip(a, b)) if x != y])
    return [row[:count] for row in rows]


def disturbed(model, seed):
    import torch

    model = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 1 + 1e-6 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    return model


def described(model, way):
    beams, count = WAYS[way]
    if (model.config.model_type, way) in UNDECIDED:
        return "undecided: " + UNDECIDED[model.config.model_type, way]
    try:
        rows = generate(model, beams, count)
    except Exception as error:  # whatever the original raises
        return "fails: " + re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:160]
    others = [generate(disturbed(model, seed), beams, count) for seed in (1, 2)]
    kept = agreed(rows, others)
    if not kept[0] or beams > 1 and kept != rows:
        return "undecided: other tokens with slightly other weights"
    text = ";".join(" ".join(map(str, row)) for row in kept)
    return text + other_way(model, kept, beams)


def other_way(model, rows, beams):
    """A remark where the original generates other tokens with its cache (types of CACHED: without)."""
    try:
        others = generate(model, beams, len(rows[0]), use_cache=True)
    except Exception as error:  # whatever the original raises
        return "\tthe other way fails: " + re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:160]
    return "" if others == rows else "\tthe other way gives others"


def fixtures(tasks=TASK + "*", special=SPECIAL):
    """By type: its first fixture of these tasks, and those of `special`."""
    chosen = {}
    for folder in sorted(make_golden.GOLDEN.glob("*/" + tasks)):
        name = f"{folder.parent.name}/{folder.name}"
        if folder.parent.name not in chosen or name in special:
            chosen.setdefault(folder.parent.name, []).append(name)
    return chosen


def main():
    import transformers

    make_golden.quiet()
    warnings.filterwarnings("ignore")
    file = GENERATED / f"transformers-{transformers.__version__}.tsv"
    GENERATED.mkdir(exist_ok=True)
    lines = {}
    if file.exists():
        for line in file.read_text().splitlines():
            name, way, text = line.split("\t", 2)
            lines[name, way] = text
    wanted = sys.argv[1:]
    for model_type, names in fixtures().items():
        if wanted and model_type not in wanted:
            continue
        for name in names:
            fixture = make_golden.GOLDEN / name
            expected = json.loads((fixture / "expected.json").read_text())
            if expected["transformers"] != transformers.__version__:
                continue
            with tempfile.TemporaryDirectory() as folder:
                write_checkpoint(fixture, Path(folder))
                model = load(Path(folder))
                model.gives_positions = "position_ids" in expected["files"]["model"]["inputs"]
                for way in WAYS:
                    lines[name, way] = described(model, way)
                    print(name, way, lines[name, way][:100], flush=True)
            file.write_text("".join(f"{name}\t{way}\t{text}\n" for (name, way), text in sorted(lines.items())))


if __name__ == "__main__":
    main()
