#!/usr/bin/env python3
"""Makes golden fixtures of diffusion pipelines with the original models of diffusers, or runs the originals again on existing ones.

  tools/make_pipelines.py                         all pipelines of tests/golden/diffusers/recipe.json
  tools/make_pipelines.py pixart sana       some of them
  tools/make_pipelines.py --check pixart    exits with status 1 if a stored output differs

The recipe of a pipeline has its class, the class and the tiny configuration of each component, and the sizes of the cases: the number of real tokens in each row of
text, and the extents of the latents. Run it with a Python that has the packages of make_golden.py, and diffusers and accelerate beside them.
"""
import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from make_golden import GOLDEN, OPSET, difference, make_recipe, quiet, six_digits, write_checkpoint, write_tokenizer  # noqa: E402
from pipeline_originals import ORIGINALS, Case, axes_of  # noqa: E402

HOME = GOLDEN / "diffusers"
ATOL = 3e-4


# ---------------------------------------------------------------------------------------------------------------- making a fixture
def class_of(component):
    import diffusers
    import transformers

    return getattr({"diffusers": diffusers, "transformers": transformers}[component["library"]], component["class"])


def make_model(component):
    cls = class_of(component)
    if component["library"] == "diffusers":
        return cls(**component["config"])
    return cls(cls.config_class(**component["config"]))


# Modules of some classes of transformers, and their names in files.
OLDER_NAMES = [("model.language_model.", "model."), ("model.visual.", "visual.")]


def stored_name(name):
    for new, old in OLDER_NAMES:
        name = name.replace(new, old)
    return name


def weights_of(model, stored):
    """The recipe of make_golden.py, except for tensors of several axes that are no matrices: tables of modulations, tokens that pad, weights of norms."""
    stored = {name for name in model.state_dict() if name in stored or stored_name(name) in stored}
    recipe, verbatim = make_recipe(model, "F32", stored, OLDER_NAMES)
    for name, tensor in model.state_dict().items():
        if name not in recipe:
            continue
        if name.endswith(("scale_shift_table", "pad_token")):
            recipe[name].update(mean=0.0, halfwidth=0.5)
        elif tensor.ndim > 1 and tensor.numel() == tensor.shape[0]:
            recipe[name].update(mean=six_digits(float(tensor.flatten()[0])), halfwidth=0.25)
    return recipe, verbatim


def write_component(folder, component, seed):
    """config.json, weights.json and the weights that they stand for"""
    from safetensors import safe_open
    from safetensors.torch import save_file

    model = make_model(component)
    with tempfile.TemporaryDirectory() as tmp:
        model.save_pretrained(tmp)
        file = next(p for p in Path(tmp).iterdir() if p.suffix == ".safetensors")
        with safe_open(file, "pt") as f:
            stored = set(f.keys())
        folder.mkdir(parents=True)
        shutil.copy(Path(tmp) / "config.json", folder)
        name = file.name
    recipe, verbatim = weights_of(model, stored)
    (folder / "weights.json").write_text(json.dumps({"seed": seed, "file": name, "tensors": recipe}, indent=0) + "\n")
    if verbatim:
        save_file(verbatim, folder / "verbatim.safetensors")


def open_component(folder, component):
    """The original with the weights of a fixture's folder."""
    from safetensors.torch import load_file

    weights = json.loads((folder / "weights.json").read_text())
    verbatim = folder / "verbatim.safetensors"
    with tempfile.TemporaryDirectory() as tmp:
        shutil.copy(folder / "config.json", tmp)
        write_checkpoint(Path(tmp), weights["tensors"], weights["seed"], load_file(verbatim) if verbatim.exists() else {}, weights["file"])
        model, info = class_of(component).from_pretrained(tmp, output_loading_info=True)
    if info["missing_keys"]:
        sys.exit(f"{folder}: the checkpoint lacks {info['missing_keys']}")
    return model.float().eval()


def run_original(run, model, feed):
    import torch

    with torch.no_grad():
        return {k: v.contiguous().numpy() for k, v in run(model, **{k: torch.from_numpy(v) for k, v in feed.items()}).items()}


def graphs_of(recipe, folder):
    """-> [(graph, model, function that runs it, inputs of each case)], in the order of the components"""
    found = []
    for name, component in recipe["components"].items():
        model = open_component(folder / name, component)
        by_graph = {}
        for number, values in enumerate(recipe["cases"]):
            for part, (feed, run) in ORIGINALS[component["class"]](model, Case(number, recipe["seed"], values)).items():
                by_graph.setdefault(name + part, (run, []))[1].append(feed)
        found += [(graph, model, run, feeds) for graph, (run, feeds) in by_graph.items()]
    return found


def write_index(recipe, folder):
    import diffusers

    index = {"_class_name": recipe["pipeline"], "_diffusers_version": diffusers.__version__}
    index |= {name: [c["library"], c["class"]] for name, c in recipe["components"].items()}
    index["scheduler"] = ["diffusers", recipe["scheduler"]]
    index["tokenizer"] = ["transformers", "PreTrainedTokenizerFast"]
    (folder / "model_index.json").write_text(json.dumps(dict(sorted(index.items())), indent=2) + "\n")
    getattr(diffusers, recipe["scheduler"])().save_pretrained(folder / "scheduler")
    write_tokenizer(folder / "tokenizer", 99, max(case["length"] for case in recipe["cases"]))


def make_fixture(recipe, folder):
    import diffusers
    import numpy as np
    import torch
    import transformers
    from safetensors.numpy import save_file

    for number, (part, component) in enumerate(recipe["components"].items()):
        write_component(folder / part, component, recipe["seed"] + number)
    write_index(recipe, folder)
    files = {}
    for graph, model, run, feeds in graphs_of(recipe, folder):
        (folder / graph).mkdir(exist_ok=True)
        cases = []
        for n, feed in enumerate(feeds):
            out = run_original(run, model, feed)
            values = {**{f"in/{k}": np.ascontiguousarray(v) for k, v in feed.items()}, **{f"out/{k}": v for k, v in out.items()}}
            save_file(values, folder / graph / f"model.{n}.safetensors")
            cases.append({"n": n, "max_abs": {k: six_digits(float(np.abs(v).max())) for k, v in out.items()}})
        axes = [{k: axes_of(graph, k, model) for k in names} for names in (feed, out)]
        files[f"{graph}/model"] = {"inputs": axes[0], "outputs": axes[1], "cases": cases}
    head = {"model_type": recipe["model_type"], "pipeline": recipe["pipeline"], "task": "text-to-image", "monolith": False, "variant": "default", "library": "diffusers"}
    head |= {"atol": ATOL, "default_opset": OPSET, "torch": torch.__version__.split("+")[0], "diffusers": diffusers.__version__, "transformers": transformers.__version__}
    head |= {"weights": list(recipe["components"]), "files": files}
    (folder / "expected.json").write_text(json.dumps(head, indent=1) + "\n")


def check_fixture(recipe, folder):
    """-> {graph: the largest difference of a second run, in units of the tolerance}"""
    from safetensors.numpy import load_file

    worst = {}
    for graph, model, run, feeds in graphs_of(recipe, folder):
        for n, feed in enumerate(feeds):
            stored = load_file(folder / graph / f"model.{n}.safetensors")
            for key, value in run_original(run, model, feed).items():
                worst[graph] = max(worst.get(graph, 0.0), difference(value, stored[f"out/{key}"], ATOL)[1])
    return worst


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("names", nargs="*", help="pipelines of the recipe; none: all")
    a.add_argument("--check", action="store_true", help="run the originals on the fixtures that exist, and compare")
    a.add_argument("--out", type=Path, default=HOME)
    o = a.parse_args()
    quiet()
    recipes = json.loads((HOME / "recipe.json").read_text())
    failed = 0
    for name in o.names or recipes:
        target = o.out / f"text-to-image+{name}"
        if not o.check:
            with tempfile.TemporaryDirectory() as tmp:
                make_fixture(recipes[name], Path(tmp) / name)
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(Path(tmp) / name, target)
        size = sum(f.stat().st_size for f in target.rglob("*") if f.is_file()) / 1024
        print(f"{name}, {size:.0f} KiB", flush=True)
        for graph, ratio in check_fixture(recipes[name], target).items():
            bad = not ratio <= (1 if o.check else 0.01)
            failed += bad
            print(f"  {'DIFFERS' if bad else 'same'} {graph}: {ratio:.3g} of the tolerance", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
