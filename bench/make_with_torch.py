"""Makes a synthetic checkpoint with transformers, or a pipeline with diffusers: random weights, the same on every run.

Arguments: a config (JSON), and the folder. `architectures` names the class of a model. `_class_name` names that of a
pipeline, whose config has one for each of its components."""
import json
import pathlib
import sys
import tempfile

import torch
import transformers


def model_of(config):
    """Convolutions get weights that keep the scale of their input: the initial ones of some classes are so small that
    all outputs are 0."""
    kind = getattr(transformers, config["architectures"][0])
    model = kind(kind.config_class.from_dict(config)).eval()
    for part in model.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight)
    return model


def tokenizer():
    """Of two words: a pipeline must have one."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1}))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        return transformers.CLIPTokenizer(folder / "vocab.json", folder / "merges.txt")


def pipeline_of(config):
    import diffusers

    parts = {name: value for name, value in config.items() if isinstance(value, dict)}
    for name, value in parts.items():
        parts[name] = getattr(diffusers, value["_class_name"]).from_config(value) if "_class_name" in value else \
            model_of(value)
    return getattr(diffusers, config["_class_name"])(
        **parts, scheduler=diffusers.PNDMScheduler(steps_offset=1), tokenizer=tokenizer(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def main():
    with open(sys.argv[1]) as file:
        config = json.load(file)
    torch.manual_seed(0)
    made = pipeline_of(config) if "_class_name" in config else model_of(config)
    made.save_pretrained(sys.argv[2])


if __name__ == "__main__":
    main()
