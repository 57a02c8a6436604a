#!/usr/bin/env python3
"""Writes the tokens that transformers generates with a Phi-4 multimodal of the sizes that onnxruntime-genai assumes:
tests/generation/phi4mm-VERSION.jsonl.

  tools/make_phi4mm_generation.py

Needs torch, safetensors, numpy, peft, and the version of transformers that the file is named after. That client knows the
sides of crops and patches and the ids of placeholders, whatever config.json says, so the fixture's checkpoint is made
larger (for_client). A line holds images, as the real patches of each (rows, columns), and the frames of sounds, whose values
inputs_of() makes; whether an adapter counts, of which published checkpoints have one for images and one for sounds; the
number of the prompt that prompt_of() makes, with as many placeholders as the client would put there; and the new tokens,
each the best by a clear margin. tests/clients/genai compares the client with them."""
import json
import math
import sys
import tempfile
import warnings
from pathlib import Path

sys.dont_write_bytecode = True
import make_golden
from make_generation import GENERATED
from make_multimodal_generation import MARGIN, NEW_TOKENS

FIXTURE = "phi4_multimodal/image-text-to-text-with-past"
CROP, PATCH, SIDE = 448, 14, 32
IMAGE, SOUND, VOCABULARY = 200010, 200011, 200064
CASES = [{}, {"images": [[32, 50]]}, {"images": [[32, 32]]}, {"images": [[40, 32], [20, 32]]}, {"frames": [61]},
         {"frames": [33, 61]}, {"frames": [4100]}, {"images": [[32, 64]], "frames": [33]},
         {"images": [[32, 50]], "adapter": True}]
ADAPTER = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": ["qkv_proj", "o_proj"]}


def for_client(config, tensors):
    """Changes the fixture's config.json and the recipe of its checkpoint in place."""
    config |= {"vocab_size": VOCABULARY, "max_position_embeddings": 4096, "original_max_position_embeddings": 512}
    config["vision_config"] |= {"crop_size": CROP, "image_size": CROP, "patch_size": PATCH, "image_token_id": IMAGE}
    config["audio_config"] |= {"audio_token_id": SOUND}
    image = "model.embed_tokens_extend.image_embed.img_processor.embeddings."
    for name, shape in {"model.embed_tokens.weight": [VOCABULARY], "lm_head.weight": [VOCABULARY],
                        image + "position_embedding.weight": [SIDE * SIDE],
                        image + "patch_embedding.weight": [None, None, PATCH, PATCH]}.items():
        whole = tensors[name]["shape"]
        whole[:len(shape)] = [new or old for new, old in zip(shape, whole)]
    tensors[image + "patch_embedding.weight"]["halfwidth"] /= 4  # there are more pixels in a patch


def floats(name, shape, halfwidth=1.0):
    return make_golden.synthesize(name, {"shape": shape, "mean": 0.0, "halfwidth": halfwidth}, 7)


def adapter_of(tensors):
    """The tensors of an adapter for a recipe's checkpoint."""
    made, rank = {}, ADAPTER["r"]
    for name, recipe in tensors.items():
        module, _, key = name.rpartition(".")
        if key == "weight" and module.startswith("model.layers.") and module.endswith(tuple(ADAPTER["target_modules"])):
            out, width = recipe["shape"]
            for part, shape in {"A": [rank, width], "B": [out, rank]}.items():
                key = f"base_model.model.{module}.lora_{part}.weight"
                made[key] = floats(key, shape, 0.12)
    return made


def inputs_of(case, bins):
    """The inputs of the client's files that a case describes, and the rows that each image and sound takes."""
    import numpy as np

    inputs, images, sounds = {}, [], []
    if "images" in case:
        grids = [(-(-rows // SIDE), -(-columns // SIDE)) for rows, columns in case["images"]]
        most = 1 + max(down * across for down, across in grids)
        masks = np.ones((len(grids), most, SIDE, SIDE), np.float32)
        for mask, (down, across), (rows, columns) in zip(masks, grids, case["images"]):
            real = np.zeros((down * SIDE, across * SIDE), np.float32)
            real[:rows, :columns] = 1
            mask[1:1 + down * across] = (
                real.reshape(down, SIDE, across, SIDE).transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE))
            images.append(-(-rows // 2) * (-(-columns // 2) + 1) + 1 + 16 * 17)
        inputs |= {"pixel_values": floats(f"images {case['images']}", [len(grids), most, 3, CROP, CROP]),
                   "image_sizes": np.array(grids, np.int64) * CROP, "image_attention_mask": masks}
    if "frames" in case:
        sounds = [math.ceil(frames / 8) for frames in case["frames"]]
        features = floats(f"sounds {case['frames']}", [len(sounds), max(case["frames"]), bins], 4.0)
        for of_sound, frames in zip(features, case["frames"]):
            of_sound[frames:] = 0
        inputs |= {"input_features": features, "audio_sizes": np.array(sounds, np.int64),
                   "audio_projection_mode": np.array([3 if images else 2], np.int64)}
    return inputs, images, sounds


def prompt_of(images, sounds, shift):
    ids = [3, 7 + 3 * shift]
    for token, counts in ((IMAGE, images), (SOUND, sounds)):
        for count in counts:
            ids += [token] * count + [11]
    return ids + [20 + 5 * shift, 30, 41, 12 + shift]


def generate(model, ids, inputs, frames=()):
    """The new tokens, and the smallest distance between the best logit and the second."""
    import torch

    given = {"input_ids": torch.tensor([ids])}
    names = {"pixel_values": "image_pixel_values", "input_features": "audio_input_features",
             "audio_sizes": "audio_embed_sizes"}
    given |= {names.get(name, name): torch.from_numpy(value) for name, value in inputs.items()
              if name != "audio_projection_mode"}
    if len(frames) > 1:  # the original's processor gives a mask for several sounds only
        given["audio_attention_mask"] = torch.arange(max(frames)) < torch.tensor(frames)[:, None]
    with torch.no_grad():
        out = model.generate(**given, attention_mask=torch.ones_like(given["input_ids"]), do_sample=False,
                             max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, output_logits=True,
                             return_dict_in_generate=True)
    logits = torch.stack(out.logits)[:, 0]
    best = logits.topk(2).values
    return logits.argmax(dim=-1).tolist(), float((best[:, 0] - best[:, 1]).min())


def line_of(model, case):
    inputs, images, sounds = inputs_of(case, model.config.audio_config.input_size)
    frames = case.get("frames", ())
    for shift in range(12):
        ids = prompt_of(images, sounds, shift)
        tokens, margin = generate(model, ids, inputs, frames)
        others = [generate(model, ids, inputs | {name: -inputs[name]}, frames)[0]
                  for name in ("pixel_values", "input_features") if name in inputs]
        if "adapter" in case:
            model.disable_adapters()
            others.append(generate(model, ids, inputs, frames)[0])
            model.enable_adapters()
        if margin >= MARGIN and tokens not in others and len(set(tokens)) >= 6:
            return case | {"shift": shift, "tokens": tokens}
    raise SystemExit(f"{case}: no prompt gives clear tokens that depend on it")


def main():
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    make_golden.quiet()
    warnings.filterwarnings("ignore")
    fixture = make_golden.GOLDEN / FIXTURE
    config = json.loads((fixture / "config.json").read_text())
    recipe = json.loads((fixture / "weights.json").read_text())
    for_client(config, recipe["tensors"])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        verbatim = load_file(fixture / "verbatim.safetensors")
        make_golden.write_checkpoint(Path(folder), recipe["tensors"], recipe["seed"], verbatim)
        model = transformers.Phi4MultimodalForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model.generation_config = type(model.generation_config)(eos_token_id=None, pad_token_id=0)
    lines = [line_of(model, case) for case in CASES if "adapter" not in case]
    with tempfile.TemporaryDirectory() as folder:
        tensors = {name: torch.from_numpy(value) for name, value in adapter_of(recipe["tensors"]).items()}
        save_file(tensors, Path(folder) / "adapter_model.safetensors")
        (Path(folder) / "adapter_config.json").write_text(json.dumps(ADAPTER))
        model.load_adapter(folder)
    lines += [line_of(model, case) for case in CASES if "adapter" in case]
    file = GENERATED / f"phi4mm-{transformers.__version__}.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
