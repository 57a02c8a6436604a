#!/usr/bin/env python3
"""Makes the fixtures of adapters, tests/adapters/<name>/, with peft. The format: tests/adapters/README.md.

  tools/make_adapters.py [NAME …]    makes them
  tools/make_adapters.py --check     compares with those that are here; exit status 1 if one differs

Needs peft 0.18.1 (and accelerate) beside the packages that tools/make_golden.py installs:
~/.cache/onnxport/golden-venv/bin/python tools/make_adapters.py
"""
import argparse
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from make_golden import GOLDEN, quiet, six_digits, write_checkpoint

ADAPTERS = GOLDEN.parent / "adapters"
QUERY_VALUE = ["q_proj", "v_proj"]

# name: base fixture, class of the model, adapters, number of labels, options
FIXTURES = {
    "llama_plain": dict(base="llama/text-generation", cls="CausalLM", run=True, adapters=[
        dict(r=4, lora_alpha=8, target_modules=QUERY_VALUE, task_type="CAUSAL_LM")]),
    # The order of the patterns counts: both match up_proj of layer 0.
    "llama_patterns": dict(base="llama/text-generation", cls="CausalLM", adapters=[
        dict(r=4, lora_alpha=6, target_modules=r".*\.(q_proj|up_proj|down_proj)$", use_rslora=True, task_type="CAUSAL_LM",
             rank_pattern={r"^model.layers.0.self_attn.q_proj": 2, r"layers\.\d+\.mlp\.(up|down)_proj": 3},
             alpha_pattern={r"layers\.0\.mlp\..*": 5.5, "up_proj": 12})]),
    "llama_dora": dict(base="llama/text-generation", cls="CausalLM", run=True, adapters=[
        dict(r=3, lora_alpha=8, target_modules=["q_proj", "o_proj", "gate_proj"], use_dora=True, task_type="CAUSAL_LM")]),
    "llama_layers_saved": dict(base="llama/text-generation", cls="CausalLM", run=True, adapters=[
        dict(r=2, target_modules=["k_proj", "down_proj"], layers_to_transform=[1], layers_pattern="layers", exclude_modules=["lm_head"],
             modules_to_save=["embed_tokens", "lm_head", "norm"], init_lora_weights="gaussian", task_type="CAUSAL_LM")]),
    "llama_two": dict(base="llama/text-generation", cls="CausalLM", run=True, adapters=[
        dict(r=2, lora_alpha=2, target_modules=QUERY_VALUE, use_rslora=True),
        dict(r=3, lora_alpha=8, target_modules=["v_proj", "gate_proj"], use_dora=True)]),
    "llama_bf16": dict(base="llama/text-generation-with-past+bf16", cls="CausalLM", storage="F16", adapters=[
        dict(r=4, lora_alpha=8, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")]),
    # The checkpoint is of the bare model, the adapter of one with a head for more labels than its config.json has.
    "bert_head": dict(base="bert/feature-extraction", cls="SequenceClassification", labels=5, run=True, adapters=[
        dict(r=4, lora_alpha=4, target_modules=["query", "value"], bias="all", task_type="SEQ_CLS")]),
    "bert_bias": dict(base="bert/text-classification", cls="SequenceClassification", run=True, adapters=[
        dict(r=2, lora_alpha=3, target_modules=["dense"], lora_bias=True, fan_in_fan_out=True, modules_to_save=["classifier"])]),
    "bert_bin": dict(base="bert/fill-mask", cls="MaskedLM", binary=True, adapters=[
        dict(r=1, lora_alpha=3, target_modules=["query"], layers_to_transform=[0])]),
    "gpt2_plain": dict(base="gpt2/text-generation", cls="CausalLM", run=True, adapters=[
        dict(r=4, lora_alpha=8, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True, task_type="CAUSAL_LM")]),
    "gpt2_dora": dict(base="gpt2/text-generation-with-past+base_checkpoint", cls="CausalLM", adapters=[
        dict(r=2, lora_alpha=8, target_modules=["c_attn", "c_proj"], use_dora=True, fan_in_fan_out=True)]),
    "gpt2_embedding": dict(base="gpt2/text-generation", cls="CausalLM", run=True, adapters=[
        dict(r=3, lora_alpha=4, target_modules=["wte", "c_fc"], task_type="CAUSAL_LM", fan_in_fan_out=True)]),
    "gpt2_embedding_dora": dict(base="gpt2/text-generation", cls="CausalLM", adapters=[
        dict(r=3, lora_alpha=4, target_modules=["wpe"], use_dora=True)]),
    "t5_all_linear": dict(base="t5/text2text-generation", cls="Seq2SeqLM", adapters=[
        dict(r=2, lora_alpha=3, target_modules="all-linear", task_type="SEQ_2_SEQ_LM")]),
    "whisper_conv": dict(base="whisper/automatic-speech-recognition", cls="SpeechSeq2Seq", adapters=[
        dict(r=2, lora_alpha=8, target_modules=["q_proj", "fc1", "conv2"])]),
    "vit_conv_dora": dict(base="vit/image-classification", cls="ImageClassification", run=True, adapters=[
        dict(r=2, lora_alpha=8, target_modules=["projection", "query"], use_dora=True, modules_to_save=["classifier"])]),
}


def write_base(fixture, folder):
    """The checkpoint of a golden fixture."""
    source = GOLDEN / fixture
    recipe = json.loads((source / "weights.json").read_text())
    verbatim = source / "verbatim.safetensors"
    folder.mkdir(parents=True)
    shutil.copy(source / "config.json", folder)
    write_checkpoint(folder, recipe["tensors"], recipe["seed"], load_file(verbatim) if verbatim.exists() else {})


def load(fixture, folder):
    labels = {"num_labels": fixture["labels"]} if "labels" in fixture else {}
    return getattr(transformers, "AutoModelFor" + fixture["cls"]).from_pretrained(folder, dtype=torch.float32, **labels).eval()


def recipe_of(tensors, storage):
    """Values as large as those of the base model, so that nothing hides."""
    recipe = {}
    for key, tensor in sorted(tensors.items()):
        magnitude = "lora_magnitude_vector" in key or (tensor.ndim == 1 and key.endswith("weight"))
        mean = 1.0 if magnitude else 0.0
        halfwidth = 0.25 if tensor.ndim < 2 or magnitude else 0.8 if "embed" in key else math.sqrt(3 / math.prod(tensor.shape[1:]))
        recipe[key] = dict(dtype=storage, shape=list(tensor.shape), mean=mean, halfwidth=six_digits(halfwidth))
    return recipe


def write_adapter(fixture, config, base, folder, seed):
    """What peft writes, with computed values. `folder` keeps the recipe, the returned folder has the weights."""
    model = get_peft_model(load(fixture, base), LoraConfig(**config))
    whole = base.parent / folder.name
    model.save_pretrained(whole)
    (whole / "README.md").unlink(missing_ok=True)
    text = json.loads((whole / "adapter_config.json").read_text())
    text["base_model_name_or_path"] = "../base"
    text = {key: sorted(value) if key in ("target_modules", "exclude_modules") and isinstance(value, list) else value for key, value in text.items()}
    for key in ("rank_pattern", "alpha_pattern"):  # in our order
        text[key] = config.get(key, {})
    (whole / "adapter_config.json").write_text(json.dumps(text, indent=2) + "\n")
    recipe = recipe_of(load_file(whole / "adapter_model.safetensors"), fixture.get("storage", "F32"))
    write_checkpoint(whole, recipe, seed, {}, "adapter_model.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(whole / "adapter_config.json", folder)
    if fixture.get("binary"):
        torch.save(load_file(whole / "adapter_model.safetensors"), folder / "adapter_model.bin")
        (whole / "adapter_model.safetensors").unlink()
        shutil.copy(folder / "adapter_model.bin", whole)
    else:
        text = json.dumps(dict(seed=seed, file="adapter_model.safetensors", tensors=recipe), indent=0)
        (folder / "weights.json").write_text(text + "\n")
    return whole


def merged(fixture, base, adapters):
    model = PeftModel.from_pretrained(load(fixture, base), adapters[0], adapter_name="0")
    names = [str(i) for i in range(len(adapters))]
    for name, adapter in zip(names[1:], adapters[1:]):
        model.load_adapter(adapter, adapter_name=name)
    if len(names) > 1:
        model.base_model.set_adapter(names)
    return model.merge_and_unload(adapter_names=names).eval()


def changed(model, stored, adapters):
    """The tensors that differ from the checkpoint, by their keys there, and those that the adapters add."""
    prefix, result = model.base_model_prefix + ".", {}
    files = [folder / "adapter_model.safetensors" for folder in adapters]
    brought = {key.removeprefix("base_model.model.") for file in files if file.exists() for key in load_file(file)}
    bare = not any(k.startswith(prefix) for k in stored)
    for key, tensor in model.state_dict().items():
        name = next((k for k in (key, key.removeprefix(prefix), prefix + key) if k in stored), None)
        if name is None and key in brought:
            name = key.removeprefix(prefix) if bare else key
        if name is not None and not (name in stored and torch.equal(tensor, stored[name].float())):
            result[name] = tensor.clone().contiguous()
    return result


def outputs(model, fixture):
    """The first case of the base fixture, run by the merged model."""
    case = load_file(GOLDEN / fixture["base"] / "model.0.safetensors")
    feed = {key[3:]: tensor for key, tensor in case.items() if key.startswith("in/")}
    with torch.no_grad():
        logits = model(**feed).logits
    return {**{f"in/{key}": tensor for key, tensor in feed.items()}, "out/logits": logits.contiguous()}


def make(name, root):
    fixture, folder = FIXTURES[name], root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as tmp:
        base = Path(tmp) / "base"
        write_base(fixture["base"], base)
        adapters = [write_adapter(fixture, config, base, folder / f"adapter_{i}", seed=7 + i) for i, config in enumerate(fixture["adapters"])]
        model = merged(fixture, base, adapters)
        save_file(changed(model, load_file(base / "model.safetensors"), adapters), folder / "merged.safetensors")
        if fixture.get("run"):
            save_file(outputs(model, fixture), folder / "outputs.safetensors")
    (folder / "base.txt").write_text(fixture["base"] + "\n")


def difference(a, b):
    if a.keys() != b.keys() or any(a[k].shape != b[k].shape for k in a):
        return math.inf
    return max(float((a[k].double() - b[k].double()).abs().max()) for k in a)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true")
    o = parser.parse_args()
    quiet()
    if not o.check:
        for name in o.names or FIXTURES:
            make(name, ADAPTERS)
            print(name)
        return 0
    worst = 0.0
    with tempfile.TemporaryDirectory() as tmp:
        for name in o.names or FIXTURES:
            make(name, Path(tmp))
            for file in sorted((ADAPTERS / name).glob("*.safetensors")):
                one = difference(load_file(file), load_file(Path(tmp) / name / file.name))
                print(f"{name}/{file.name}: {one:.3g}")
                worst = max(worst, one)
    return 0 if worst < 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
