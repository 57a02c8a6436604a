#!/usr/bin/env python3
"""Makes docs/supported.md: the model types and tasks that the program has, each with the number of golden fixtures that prove it.

  tools/make_supported.py build/onnxport            prints the page
  tools/make_supported.py build/onnxport --write    writes the file
  tools/make_supported.py build/onnxport --check    exits with status 1 if the file differs

The types and tasks are those of `onnxport list --json`. A fixture is a folder tests/golden/<type>/<task>[+<variant>] with an expected.json.
It needs only Python's standard library.
"""
import argparse
import collections
import difflib
import json
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
PAGE = ROOT / "docs" / "supported.md"

INTRO = """# Supported models

`./dev docs` generates this page from the program's registry and the fixtures in `tests/golden/`. Do not edit it.

The number after a task is the number of [golden fixtures](../tests/golden/README.md) that prove it. A fixture is a tiny
checkpoint with the outputs of the original PyTorch model ([validation.md](validation.md#3-truth)). A (model type, task)
pair without a fixture has a bold **(0)** and does not count as supported. "Made with" is the version of transformers that
made the fixtures: types with 5 alone do not exist in version 4. [cli.md](cli.md#tasks) explains how to choose a task.
"""

TIMM_NOTE = ("For this library, a model type is a family of architectures ([kinds/timm.md](kinds/timm.md)). Its models are the "
             "`architecture` in `config.json`, without the name of the weights after a dot.")
DIFFUSERS_NOTE = ("For this library, a model type is a pipeline or a component of one ([diffusion.md](diffusion.md)). The classes are those "
                  "in `model_index.json` and in the component's `config.json`. A fixture of a pipeline counts for its components too.")
SENTENCE_NOTE = "For this library, the model type is the kind of the first module in `modules.json`. Encoders in the fixtures: {}."


def registered(program):
    """[(library, model_type, tasks)], sorted, {family: architectures} of timm, and {model_type: classes} of diffusers."""
    try:
        out = subprocess.run([program, "list", "--json"], check=True, stdout=subprocess.PIPE).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"make_supported: {error}")
    entries = json.loads(out)
    types = sorted((entry["library"], entry["model_type"], tuple(entry["tasks"])) for entry in entries)
    families = {entry["model_type"]: entry["architectures"] for entry in entries if entry["library"] == "timm"}
    classes = {entry["model_type"]: entry["classes"] for entry in entries if entry["library"] == "diffusers"}
    return types, families, classes


def sentence_kind(fixture):
    """The registry's name for a Sentence Transformers folder."""
    first = json.loads((fixture / "modules.json").read_text())[0]["type"]
    return {"CLIPModel": "clip", "MLMTransformer": "mlm_transformer"}.get(first.rpartition(".")[2], "transformer")


def diffusers_types(fixture, classes):
    """The registry's names for a pipeline, and for those of its components that are classes of diffusers."""
    index = json.loads((fixture / "model_index.json").read_text())
    named = [index["_class_name"]] + [entry[1] for entry in index.values() if isinstance(entry, list)]
    return [model_type for name in named for model_type, known in classes.items() if name in known]


def count_fixtures(families, classes, tasks):
    """{(library, model_type, task): count}, {encoder: count} of the Sentence Transformers fixtures, and
    {model_type: versions of transformers} of the others."""
    counts, encoders, versions = collections.Counter(), collections.Counter(), collections.defaultdict(set)
    for expected in sorted(GOLDEN.glob("*/*/expected.json")):
        fixture = expected.parent
        task = fixture.name.partition("+")[0]
        content = json.loads(expected.read_text())
        library = content.get("library", "transformers")
        if library == "sentence_transformers":
            counts[library, sentence_kind(fixture), task] += 1
            encoders[content["model_type"]] += 1
        elif library == "timm":
            counts[library, next(f for f, names in families.items() if content["model_type"] in names), task] += 1
        elif library == "diffusers":
            for model_type in diffusers_types(fixture, classes):
                counts[library, model_type, tasks[library, model_type][0]] += 1
        else:
            # The transformer of a Sentence Transformers folder is a type of its own.
            in_modules = (fixture / "modules.json").exists()
            model_type = content["model_type"] if in_modules else fixture.parent.name
            counts[library, model_type, task] += 1
            versions[model_type].add(content["transformers"])
    return counts, encoders, versions


def wrapped(text):
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def number_of(count, singular):
    return f"{count} {singular}" + ("" if count == 1 else "s")


def make_page(types, families, classes, counts, encoders, versions):
    pairs = [(library, model_type, task) for library, model_type, tasks in types for task in tasks]
    strangers = sorted(set(counts) - set(pairs))
    if strangers:
        sys.exit("make_supported: there are fixtures for pairs that the program does not register: "
                 + ", ".join("/".join(pair) for pair in strangers))
    missing = [f"`{model_type}` {task}" for library, model_type, task in pairs if not counts[library, model_type, task]]

    lines = [INTRO]
    lines.append(wrapped(f"{number_of(len(types), 'model type')}, {number_of(len(pairs), '(type, task) pair')}, "
                         f"{number_of(len(list(GOLDEN.glob('*/*/expected.json'))), 'fixture')}. Pairs without a fixture: "
                         + (", ".join(missing) if missing else "none") + "."))
    for library in sorted({library for library, _, _ in types}):
        of_transformers = library == "transformers"
        lines += [f"## {library}\n"]
        lines += ["| Model type | Made with | Fixtures | Tasks |", "|---|---|---:|---|"] if of_transformers else \
            ["| Model type | Fixtures | Tasks |", "|---|---:|---|"]
        for _, model_type, tasks in (entry for entry in types if entry[0] == library):
            numbers = [counts[library, model_type, task] for task in tasks]
            cells = [f"{task} ({n})" if n else f"**{task} (0)**" for task, n in zip(tasks, numbers)]
            made_with = f" {', '.join(sorted(versions[model_type]))} |" if of_transformers else ""
            lines.append(f"| `{model_type}` |{made_with} {sum(numbers)} | {', '.join(cells)} |")
        lines.append("")
        if library == "timm":
            lines.append(wrapped(TIMM_NOTE))
            lines += ["| Family | Architectures |", "|---|---|"]
            lines += [f"| `{family}` | {', '.join(f'`{name}`' for name in names)} |" for family, names in sorted(families.items())]
            lines.append("")
        if library == "diffusers":
            lines.append(wrapped(DIFFUSERS_NOTE))
            lines += ["| Model type | Classes |", "|---|---|"]
            lines += [f"| `{name}` | {', '.join(f'`{one}`' for one in known)} |" for name, known in sorted(classes.items())]
            lines.append("")
        if library == "sentence_transformers" and encoders:
            names = ", ".join(f"`{name}` ({n})" for name, n in sorted(encoders.items()))
            lines.append(wrapped(SENTENCE_NOTE.format(names)))
    return "\n".join(lines).rstrip("\n") + "\n"


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("program", help="the built onnxport")
    what = a.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="write docs/supported.md instead of printing it")
    what.add_argument("--check", action="store_true", help="compare with docs/supported.md instead of printing it")
    o = a.parse_args()

    types, families, classes = registered(o.program)
    tasks = {(library, model_type): names for library, model_type, names in types}
    page = make_page(types, families, classes, *count_fixtures(families, classes, tasks))
    if o.write:
        PAGE.write_text(page, encoding="utf-8")
    elif o.check:
        current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        if page != current:
            sys.stdout.writelines(difflib.unified_diff(current.splitlines(True), page.splitlines(True),
                                                       "docs/supported.md", "generated", n=0))
            sys.exit("docs/supported.md is not current. Regenerate it with: ./dev docs")
    else:
        sys.stdout.write(page)


if __name__ == "__main__":
    main()
