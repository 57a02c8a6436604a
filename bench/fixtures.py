"""Checkpoints of the golden fixtures, of the right shapes and with values of no meaning: to time, not to compare."""
import json
import math
import pathlib
import random
import shutil

import make_checkpoint

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
CODES = {"F32": 4, "F16": 2, "BF16": 2}


def checkpoints(model_type, work):
    """Makes the checkpoint of every fixture of a type. Returns a folder and a task for each."""
    made = []
    for expected in sorted((FIXTURES / model_type).glob("*/expected.json")):
        fixture, folder = expected.parent, work / "fixtures" / expected.parent.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        contents = json.loads(expected.read_text())
        for path in fixture.glob("*.json"):
            if path.name not in ("expected.json", "weights.json"):
                shutil.copy(path, folder)
        write_weights(fixture, folder / "model.safetensors")
        made.append((folder, contents["task"]))
    return made


def write_weights(fixture, target):
    tensors = {}
    rng = random.Random(1)
    for name, recipe in json.loads((fixture / "weights.json").read_text())["tensors"].items():
        count = math.prod(recipe["shape"])
        # Two bytes below 0.5 in every dtype: small positive numbers.
        parts = [bytes((rng.randrange(256), 0x38)) for _ in range(count)]
        pad = bytes(CODES[recipe["dtype"]] - 2)
        tensors[name] = (recipe["dtype"], recipe["shape"], b"".join(pad + part for part in parts))
    verbatim = fixture / "verbatim.safetensors"
    if verbatim.exists():
        data = verbatim.read_bytes()
        begin = 8 + int.from_bytes(data[:8], "little")
        for name, entry in json.loads(data[8:begin]).items():
            if name != "__metadata__":
                first, last = (begin + offset for offset in entry["data_offsets"])
                tensors[name] = (entry["dtype"], entry["shape"], data[first:last])
    with open(target, "wb") as out:
        out.write(make_checkpoint.header({name: (dtype, shape, len(data))
                                          for name, (dtype, shape, data) in tensors.items()}))
        for _, _, data in tensors.values():
            out.write(data)
