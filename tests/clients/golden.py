"""The checkpoints and cases of tests/golden. Import it after use_packages(): it needs NumPy."""
import json
import re
import shutil

import common
import numpy as np
from make_golden import synthesize

DTYPES = {stored: np.dtype(name) for name, stored in common.DTYPES.items()}


def rounded(values, dtype):
    """The values of a recipe in its dtype; those of bfloat16 to the nearest, ties to even."""
    if dtype != "BF16":
        return values.astype(DTYPES[dtype])
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def read_safetensors(path):
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, tensor in json.loads(raw[8:start]).items():
        if name != "__metadata__":
            begin, end = (start + offset for offset in tensor["data_offsets"])
            tensors[name] = np.frombuffer(raw[begin:end], DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return tensors


def of_checkpoint(path):
    """Whether this file of a fixture belongs to the checkpoint as it is."""
    case = re.fullmatch(r".+\.\d+\.safetensors", path.name)
    return path.is_file() and not case and path.name not in ("weights.json", "expected.json", "verbatim.safetensors")


def write_checkpoint(fixture, folder, edit=lambda tensors: None):
    """The checkpoint of a fixture, see tests/golden/README.md. `edit` changes how its tensors are made."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in filter(of_checkpoint, fixture.rglob("*")):
        (folder / path.relative_to(fixture)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.relative_to(fixture))
    for path in fixture.rglob("weights.json"):
        recipe = json.loads(path.read_text())
        edit(recipe["tensors"])
        tensors = {name: rounded(synthesize(name, tensor, recipe["seed"]), tensor["dtype"])
                   for name, tensor in recipe["tensors"].items()}
        verbatim = path.parent / "verbatim.safetensors"
        tensors |= read_safetensors(verbatim) if verbatim.exists() else {}
        common.write_safetensors(folder / path.parent.relative_to(fixture) / recipe.get("file", "model.safetensors"), tensors)


def generated():
    """The lines of tests/generation/multimodal-*.jsonl: prompts about images and sounds, by fixture."""
    lines = {}
    for file in sorted((common.ROOT / "tests/generation").glob("multimodal-*.jsonl")):
        for line in map(json.loads, file.read_text().splitlines()):
            lines.setdefault(line["fixture"], []).append(line)
    return lines


def write_pipeline(fixture, folder):
    """The checkpoint of a fixture of diffusers, with tokenizers that know the words a to f: those of the fixtures have
    no word that occurs."""
    write_checkpoint(fixture, folder)
    for file in folder.glob("tokenizer*/vocab.json"):
        special = {token: number for token, number in json.loads(file.read_text()).items() if token.startswith("<|")}
        file.write_text(json.dumps({f"{letter}</w>": i for i, letter in enumerate("abcdef")} | special))
