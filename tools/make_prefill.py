#!/usr/bin/env python3
"""Makes the fixture <model type>/feature-extraction-with-past (a prefill: no past in, the cache out) with the original
PyTorch model, from the checkpoint and the cases with an empty past of <model type>/text-generation-with-past, and the inputs of
<model type>/text-generation.

  tools/make_prefill.py MODEL_TYPE...

Needs torch, safetensors, numpy, and the version of transformers that made the other fixture. The states of recurrent
layers are those that the original returned for the other fixture: each version keeps them in a class of its own. All
else is computed anew, and for layers without a window it must agree with what the other fixture has.

For an encoder-decoder, the fixture is made from <model type>/text2text-generation-with-past: its files and cases, with the decoder's
hidden states in place of the logits."""
import json
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import make_golden
from make_generation import load, write_checkpoint

PADDED_ONLY = ["doge"]  # without padding, the original leaves out the mask, so that nothing is causal
SOURCE, TASK = "text-generation-with-past", "feature-extraction-with-past"


def key_or_value(name):
    return name.startswith("present.") and name.rsplit(".", 1)[1] in ("key", "value")


def make_cache(model, presents, batch):
    """The model's cache, or None if it has a class of its own that this does not know."""
    import torch
    import transformers

    module = sys.modules[type(model).__module__]
    for name in vars(module):
        if name.endswith("HybridDynamicCache"):
            return getattr(module, name)(model.config, batch, dtype=torch.float32)
    newer = int(transformers.__version__.split(".")[0]) >= 5
    return transformers.DynamicCache(config=model.config) if newer or all(map(key_or_value, presents)) else None


def run(model, feed, presents):
    """last_hidden_state, and keys and values where the model has a known cache."""
    import torch

    tensors = {name: torch.from_numpy(value) for name, value in feed.items()}
    cache = make_cache(model, presents, len(feed["input_ids"]))
    with torch.no_grad():
        out = model(**tensors, **({} if cache is None else {"past_key_values": cache}), use_cache=cache is not None, return_dict=True)
    result = {"last_hidden_state": out[0].numpy()}
    for name in filter(key_or_value, presents if cache is not None else ()):
        _, layer, part = name.split(".")
        kept = getattr(cache, part + "_cache")[int(layer)] if hasattr(cache, part + "_cache") else getattr(cache.layers[int(layer)], part + "s")
        result[name] = kept.numpy()
    return result


def empty_cases(source, expected):
    """(inputs without the past, outputs) of the cases whose past is empty."""
    from safetensors.numpy import load_file

    for case in expected["files"]["model"]["cases"]:
        tensors = load_file(source / f"model.{case['n']}.safetensors")
        feed = {name[3:]: value for name, value in tensors.items() if name.startswith("in/")}
        if feed["attention_mask"].shape != feed["input_ids"].shape or any(
                name.startswith("past") and value.size and value.any() for name, value in feed.items()):
            continue
        yield ({name: value for name, value in feed.items() if not name.startswith("past")},
               {name[4:]: value for name, value in tensors.items() if name.startswith("out/")})


def copied(source, folder):
    """expected.json of the other fixture, and its decoder without the head. The new folder gets the checkpoint's recipe."""
    import transformers

    expected = json.loads((source / "expected.json").read_text())
    if expected["transformers"] != transformers.__version__:
        raise SystemExit(f"{source} was made with transformers {expected['transformers']}")
    folder.mkdir()
    for name in ("config.json", "generation_config.json", "weights.json", "verbatim.safetensors"):
        if (source / name).exists():
            shutil.copy(source / name, folder)
    write_checkpoint(source, folder)
    # Not AutoModel: some base classes do not find the keys of their own checkpoints.
    whole = load(folder)
    model = whole.get_decoder()
    if model is whole:
        model = whole.base_model
    (folder / "model.safetensors").unlink()
    recipe = json.loads((folder / "weights.json").read_text())
    recipe["tensors"] = {key: tensor for key, tensor in recipe["tensors"].items() if not key.startswith("lm_head.")}
    (folder / "weights.json").write_text(json.dumps(recipe, indent=0) + "\n")
    return expected, model


def run_behind_encoder(decoder, feed, presents):
    """last_hidden_state, and the keys and values of its own and of the encoder's states."""
    import torch
    from transformers import DynamicCache, EncoderDecoderCache

    tensors = {name: torch.from_numpy(value) for name, value in feed.items()}
    caches = {"decoder": DynamicCache(), "encoder": DynamicCache()}
    for layer in range(sum(name.endswith(".decoder.key") for name in tensors)):
        for part, cache in caches.items():
            cache.update(*(tensors.pop(f"past_key_values.{layer}.{part}.{one}") for one in ("key", "value")), layer)
    cache = EncoderDecoderCache(*caches.values())  # which knows whether the encoder's are there
    with torch.no_grad():
        out = decoder(**tensors, past_key_values=cache, use_cache=True, return_dict=True)
    result = {"last_hidden_state": out[0].numpy()}
    for name in presents:
        _, layer, part, one = name.split(".")
        result[name] = getattr(caches[part].layers[int(layer)], one + "s").numpy()
    return result


def make_behind_encoder(model_type):
    import numpy as np
    from safetensors.numpy import load_file

    source, folder = make_golden.GOLDEN / model_type / "text2text-generation-with-past", make_golden.GOLDEN / model_type / TASK
    expected, decoder = copied(source, folder)
    files = {}
    for stem, file in expected["files"].items():
        outputs = {"last_hidden_state" if name == "logits" else name: axes for name, axes in file["outputs"].items()}
        presents, cases = [name for name in outputs if name.startswith("present")], []
        for case in file["cases"]:
            tensors = load_file(source / f"{stem}.{case['n']}.safetensors")
            feed, recorded = ({name.partition("/")[2]: value for name, value in tensors.items() if name.startswith(side)} for side in ("in/", "out/"))
            out = recorded if stem == "encoder_model" else run_behind_encoder(decoder, feed, presents)
            for name in presents:
                assert np.abs(out[name] - recorded[name]).max(initial=0) < 1e-5, (stem, name)
            cases.append((feed, out))
        head = {key: value for key, value in expected.items() if key not in ("files", "torch", "transformers")} | {"task": TASK}
        make_golden.write_expected(folder, head, file["inputs"], outputs, cases)
        files[stem] = json.loads((folder / "expected.json").read_text())["files"]["model"]
        for n in range(len(cases)):
            (folder / f"model.{n}.safetensors").rename(folder / f"{stem}.{n}.safetensors")
    written = json.loads((folder / "expected.json").read_text()) | {"files": files}
    (folder / "expected.json").write_text(json.dumps(written, indent=1) + "\n")
    print(f"{folder}: {', '.join(files)}")


def make(model_type):
    import numpy as np

    source, folder = make_golden.GOLDEN / model_type / SOURCE, make_golden.GOLDEN / model_type / TASK
    if not source.exists():
        make_behind_encoder(model_type)
        return
    expected, model = copied(source, folder)
    file = expected["files"]["model"]
    presents = {name: axes for name, axes in file["outputs"].items() if name.startswith("present")}
    window = getattr(model.config, "sliding_window", None) or getattr(model.config, "attention_chunk_size", None)
    cases = []
    for feed, recorded in empty_cases(source, expected):
        out = run(model, feed, presents)
        assert out["last_hidden_state"].shape[2] == model.config.hidden_size, "this is no hidden state"
        for name in presents:
            if name not in out:
                out[name] = recorded[name]
                continue
            count = out[name].shape[2]
            assert window or count == recorded[name].shape[2], name
            difference = np.abs(out[name] - recorded[name][:, :, recorded[name].shape[2] - count:]).max(initial=0)
            assert difference < 1e-5, (name, difference)
        cases.append((feed, out))
    if all(map(key_or_value, presents)):  # the inputs of the fixture without a cache, which has the same checkpoint
        without = make_golden.GOLDEN / model_type / "text-generation"
        for feed, _ in empty_cases(without, json.loads((without / "expected.json").read_text())):
            if model_type not in PADDED_ONLY or not feed["attention_mask"].all():
                cases.append((feed, run(model, feed, presents)))
    assert cases, f"{source} has no case with an empty past"
    head = {key: value for key, value in expected.items() if key not in ("files", "torch", "transformers")} | {"task": TASK}
    text = {"0": "batch_size", "1": "sequence_length"}
    inputs = {name: text for name in file["inputs"] if not name.startswith("past")}
    make_golden.write_expected(folder, head, inputs, {"last_hidden_state": text, **presents}, cases)
    print(f"{folder}: {len(cases)} cases")


if __name__ == "__main__":
    make_golden.quiet()
    for model_type in sys.argv[1:]:
        make(model_type)
