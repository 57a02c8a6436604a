#!/usr/bin/env python3
"""Writes the tokens that transformers generates about images and sounds: tests/generation/multimodal-VERSION.jsonl.

  tools/make_multimodal_generation.py [MODEL_TYPE...]

Needs torch, safetensors, numpy, and the version of transformers that the file is named after; lines of other types stay.
A line holds a fixture, the cases of its encoders whose inputs are the images or sounds, a prompt with as many placeholders
as the processor would put there, and the new tokens of each row (greedy, float32, with the original's cache, from a
checkpoint changed by for_generation). A prompt counts only if each token is the best by a clear margin, and if other
images or sounds give other tokens. tests/clients/multimodal/test.py compares the exported files with these tokens."""
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.dont_write_bytecode = True
import make_golden
from make_generation import GENERATED, fixtures, for_generation, write_checkpoint

NEW_TOKENS = 8
MARGIN = 1e-3  # between the best logit and the second; rounding moves them by 1e-5
# In 4.57, float32 moves the positions of their patches by one (huggingface/transformers 41190); 5 is right again.
LATER = {"idefics2": "5.23.0", "idefics3": "5.23.0", "smolvlm": "5.23.0"}
# Beside the first fixture of every type: another tower, another decoder, sounds.
SPECIAL = ["gemma4/image-text-to-text-with-past+audio", "gemma4/image-text-to-text-with-past+hub_moe_keqv",
           "llava/image-text-to-text-with-past+pixtral", "lfm2_vl/image-text-to-text-with-past+v5_padded",
           "mistral3/image-text-to-text-with-past+v5_ministral3"]
CHANGED = ("pixel_values", "image_pixel_values", "image_patches", "input_features", "audio_input_features")
ONE_ROW = ["llava_next", "phi4_multimodal"]  # one image or sound in a call
ROW_BY_ROW = ["blip-2", "instructblip", "kosmos-2", "fuyu", "florence2", "granite_speech", "idefics2", "idefics3", "smolvlm"]
SIZED = ["mistral3", "lighton_ocr"]  # the sizes of images tell how much of them is padding; so for a pixtral tower


def counts_of(config, encoder, inputs, features):
    """How many placeholders each image or sound takes, and how many images or sounds each row has."""
    kind = config["model_type"]
    rows = features.shape[0] * (features.shape[1] if features.dim() == 3 else 1)
    grid = inputs.get("image_grid_thw", inputs.get("grid_thw"))
    if grid is not None:
        merge = config["vision_config"].get("spatial_merge_size", 2)
        counts = [int(n) // merge**2 for n in grid.prod(dim=1)]
    elif kind in ONE_ROW:
        counts = [rows]
    elif "spatial_shapes" in inputs:
        counts = [-(-int(h) // config["downsample_factor"]) * -(-int(w) // config["downsample_factor"])
                  for h, w in inputs["spatial_shapes"]]
    elif kind == "qwen2_audio":
        counts = [((int(n) - 1) // 2 + 1 - 2) // 2 + 1 for n in inputs["feature_attention_mask"].sum(dim=1)]
    elif kind == "gemma4" and encoder == "vision_encoder":
        kernel = config["vision_config"]["pooling_kernel_size"]
        counts = [int((ids[:, 0] >= 0).sum()) // kernel**2 for ids in inputs["pixel_position_ids"]]
    elif kind == "gemma4":
        counts = [int(mask[::2][::2].sum()) for mask in inputs["input_features_mask"]]
    elif kind == "voxtral":
        counts = [rows // len(inputs["audio_values"])] * len(inputs["audio_values"])
    elif "pixel_attention_mask" in inputs:
        real = (inputs["pixel_values"] != 0).flatten(2).any(dim=2).sum(dim=1)
        counts = [rows // int(real.sum())] * int(real.sum())
    else:
        counts = [features.shape[1]] * features.shape[0]
    assert sum(counts) == rows, (kind, encoder, counts, rows)
    if "pixel_attention_mask" in inputs and kind in ROW_BY_ROW:
        return counts, real.tolist()
    if kind in ROW_BY_ROW:
        return counts, [1] * len(counts)
    return counts, [len(counts)] if len(counts) == 1 else [1, len(counts) - 1]


def prompt_of(config, rows, shift, pad):
    """Rows of different lengths, padded on the left: ids and mask. `rows`: placeholders of each image or sound of a row."""
    prompt = []
    for row, items in enumerate(rows):
        ids = [3, 7 + row + 3 * shift]
        for placeholders in items:
            start = [config[key] for key in ("vision_start_token_id", "image_start_token_id") if key in config]
            end = [config[key] for key in ("vision_end_token_id", "image_end_token_id") if key in config]
            ids += start + placeholders + end
        prompt.append(ids + [20 + 5 * shift, 30 + row, 41, 12 + shift][:4 - row % 2])
    longest = max(map(len, prompt))
    return ([[pad] * (longest - len(ids)) + ids for ids in prompt],
            [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompt])


def arguments(config, encoder, inputs, counts):
    """The inputs of a file, as the original takes them."""
    import torch

    kind, given = config["model_type"], dict(inputs)
    if "grid_thw" in given:
        given["image_grid_thw"] = given.pop("grid_thw")
    if "audio_values" in given:
        given["input_features"] = given.pop("audio_values")
    if "pixel_position_ids" in given:
        given["image_position_ids"] = given.pop("pixel_position_ids")
    if kind == "phi4_multimodal" and encoder == "vision_encoder":
        given = {"image_pixel_values": given["pixel_values"][None], "image_sizes": given["image_sizes"],
                 "image_attention_mask": given["image_attention_mask"][None]}
    elif kind == "phi4_multimodal":
        given = {"audio_input_features": given["input_features"], "audio_embed_sizes": torch.tensor(counts)}
    elif kind == "llava_next":
        given["pixel_values"] = given["pixel_values"][None]
    elif kind == "llava_onevision":
        given["pixel_values"] = given["pixel_values"][:, None]
        count = len(given["pixel_values"])
        size = given["pixel_values"].shape[-2:]
        given |= {"image_sizes": torch.tensor([list(size)] * count), "batch_num_images": torch.tensor([count])}
    elif kind in SIZED or config.get("vision_config", {}).get("model_type") == "pixtral":
        given["image_sizes"] = torch.tensor([list(given["pixel_values"].shape[-2:])] * len(given["pixel_values"]))
    elif kind == "granite_speech":
        given["input_features_mask"] = torch.ones((len(counts), counts[0]), dtype=torch.bool)
    return given


def generate(model, config, ids, mask, placeholders, given, version):
    """New tokens of each row, and the smallest distance between the best logit and the second."""
    import torch

    ids, mask = torch.tensor(ids), torch.tensor(mask)
    given = dict(given)
    if version.startswith("5") and "image_grid_thw" in given:
        given["mm_token_type_ids"] = torch.isin(ids, torch.tensor(placeholders)).long()
    if config["model_type"] == "kosmos-2":
        given["image_embeds_position_mask"] = torch.isin(ids, torch.tensor(placeholders))
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=NEW_TOKENS,
                             min_new_tokens=NEW_TOKENS, output_logits=True, return_dict_in_generate=True, **given)
    logits = torch.stack(out.logits)
    best = logits.topk(2).values
    return logits.argmax(dim=-1).T.tolist(), float((best[..., 0] - best[..., 1]).min())


def changed(given, name):
    """With other images or sounds of the same size."""
    return given | {name: -given[name]}


def sought(model, fixture, config, cases, version):
    """The line of some cases: {encoder: inputs and features}."""
    pad = model.generation_config.pad_token_id
    ids_of = {"vision_encoder": ("image_token_index", "image_token_id"), "audio_encoder": ("audio_token_index", "audio_token_id")}
    given, rows, of_images = {}, [], []
    for encoder, (inputs, features) in cases.items():
        part = config.get(encoder.split("_")[0] + "_config") or {}
        placeholder = next((where[key] for where in (config, part) for key in ids_of[encoder] if key in where), 98)
        of_images += [placeholder] if encoder == "vision_encoder" else []
        counts, shares = counts_of(config, encoder, inputs, features)
        given |= arguments(config, encoder, inputs, counts)
        items = iter([placeholder] * count for count in counts)
        rows = rows or [[] for _ in shares]
        for row, share in zip(rows, shares, strict=True):
            row += [next(items) for _ in range(share)]
    found = None
    for shift in range(12):
        ids, mask = prompt_of(config, rows, shift, pad)
        tokens, margin = generate(model, config, ids, mask, of_images, given, version)
        others = [generate(model, config, ids, mask, of_images, changed(given, name), version)[0]
                  for name in given if name in CHANGED]
        variety = len({token for row in tokens for token in row})
        if margin < MARGIN or tokens in others:
            continue
        if found is None or variety > found[0]:
            found = (variety, {"input_ids": ids, "attention_mask": mask, "tokens": tokens})
        if variety >= 6:
            break
    if found is None:
        raise SystemExit(f"{fixture}: no prompt gives clear tokens that depend on {', '.join(cases)}")
    return found[1]


def load(folder, version):
    import torch
    import transformers

    config = json.loads((folder / "config.json").read_text())
    named = getattr(transformers, (config.get("architectures") or [""])[0], transformers.AutoModelForImageTextToText)
    kwargs = {"experts_implementation": "eager"} if version.startswith("5") and "moe" in config["model_type"] else {}
    model = named.from_pretrained(folder, dtype=torch.float32, **kwargs).eval()
    given = model.generation_config
    pad = given.pad_token_id if given.pad_token_id is not None else 0
    model.generation_config = type(given)(eos_token_id=None, pad_token_id=pad, bos_token_id=given.bos_token_id,
                                          decoder_start_token_id=given.decoder_start_token_id)
    return model


def lines_of(fixture, version):
    from safetensors.torch import load_file

    folder = make_golden.GOLDEN / fixture
    config = json.loads((folder / "config.json").read_text())
    with tempfile.TemporaryDirectory() as made:
        write_checkpoint(folder, Path(made), for_generation)
        model = load(Path(made), version)
    cases = {}
    for case in sorted(folder.glob("*_encoder.*.safetensors")):
        tensors = load_file(case)
        encoder, number, _ = case.name.split(".")
        inputs = {name[3:]: value for name, value in tensors.items() if name.startswith("in/")}
        [features] = [value for name, value in tensors.items() if name.startswith("out/")]
        if config["model_type"] == "llava_onevision" and len(features) == 1:
            continue  # alone in a prompt, an image has several views for the original
        cases[encoder, int(number)] = inputs, features
    together = [[case] for case in cases]
    if len({encoder for encoder, _ in cases}) == 2 and config["model_type"] != "phi4_multimodal":  # it takes one of both
        together.append([("vision_encoder", 0), ("audio_encoder", 0)])
    for group in together:
        line = sought(model, fixture, config, {encoder: cases[encoder, number] for encoder, number in group}, version)
        yield {"fixture": fixture, "cases": dict(group)} | line


def main():
    import transformers

    make_golden.quiet()
    warnings.filterwarnings("ignore")
    version = transformers.__version__
    file = GENERATED / f"multimodal-{version}.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    wanted = sys.argv[1:]
    for model_type, names in fixtures("*-text-to-text-with-past*", SPECIAL).items():
        for name in names:
            expected = json.loads((make_golden.GOLDEN / name / "expected.json").read_text())
            if wanted and model_type not in wanted or LATER.get(model_type, expected["transformers"]) != version:
                continue
            lines = [line for line in lines if line["fixture"] != name]
            for line in lines_of(name, version):
                lines.append(line)
                print(name, line["cases"], line["tokens"], flush=True)
            lines.sort(key=lambda line: (line["fixture"], sorted(line["cases"].items())))
            file.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
