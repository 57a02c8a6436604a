"""Packages and files that several client tests need."""
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DTYPES = {"float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int8": "I8", "bool": "BOOL",
          "uint16": "BF16"}  # as bits, because NumPy has no such type


def use_packages(cache, *packages):
    """Makes packages that tools/setup.sh installed importable, and the modules of tools/."""
    for package in packages:
        if not (cache / package).is_dir():
            sys.exit(f"{cache / package} is missing: run tools/setup.sh clients")
        sys.path.insert(0, str(cache / package))
    sys.path.insert(0, str(ROOT / "tools"))


def pinned(folder):
    """The packages of a test's requirements.txt, by the name that tools/setup.sh gives their folder in the cache."""
    return f"{folder.name}-{hashlib.sha256((folder / 'requirements.txt').read_bytes()).hexdigest()[:12]}"


def write_safetensors(path, tensors):
    header, parts, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, values in tensors.items():
        header[name] = {"dtype": DTYPES[values.dtype.name], "shape": values.shape,
                        "data_offsets": [offset, offset := offset + values.nbytes]}
        parts.append(values.tobytes())
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
