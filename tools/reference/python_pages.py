"""Reference pages of the Python package: the signatures and docstrings of what its modules export."""

from __future__ import annotations

import ast
from pathlib import Path

#: The modules that people import, and the files that define what they export.
MODULES = {
    "onnxport": ["errors.py", "reports.py"],
    "onnxport.exporters": ["exporters/tasks.py"],
    "onnxport.exporters.onnx": [
        "exporters/onnx/__main__.py", "exporters/onnx/convert.py", "exporters/onnx/validation.py",
        "exporters/onnx/axes.py", "exporters/onnx/onnx_config.py", "exporters/onnx/with_past.py",
        "exporters/onnx/config.py",
    ],
    "onnxport.exporters.onnx.model_patcher": ["exporters/onnx/model_patcher.py"],
    "onnxport.utils": [
        "utils/normalized_config.py", "utils/input_generators.py", "utils/dummy_base.py", "utils/dummy_text.py",
        "utils/dummy_media.py",
    ],
    "onnxport.onnxruntime": [
        "onnxruntime/configuration.py", "onnxruntime/quantization.py", "onnxruntime/optimization.py",
    ],
    "onnxport.optimum": ["optimum/__init__.py"],
    "onnxport.nn": ["_native/nn.pyi", "_native/__init__.pyi"],
    "onnxport.op": ["_native/op.pyi"],
}  # fmt: skip
#: Of the extension's own names, those that `onnxport.nn` has.
NATIVE = ("Component", "Dim", "Graph", "Inputs", "Model", "PretrainedConfig", "Scope", "Value", "Weight")

Definition = ast.FunctionDef | ast.ClassDef


def listed(tree: ast.Module) -> set[str]:
    """The names in `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return {one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)}
    return set()


def exported(tree: ast.Module, file: str) -> set[str]:
    """The names that a file defines for the module: its `__all__`, or all of a stub."""
    if names := listed(tree):
        return names
    names = {node.name for node in tree.body if isinstance(node, Definition)}
    return names & set(NATIVE) if file == "_native/__init__.pyi" else names


def shown(name: str) -> bool:
    return not name.startswith("_") or name in (
        "__init__",
        "__call__",
        "__getitem__",
        "__truediv__",
        "__contains__",
    )


def docstring(node: Definition, indent: str) -> list[str]:
    text = ast.get_docstring(node)
    if not text:
        return []
    lines = [f'"""{line}' if i == 0 else line for i, line in enumerate(text.splitlines())]
    lines = [*lines[:-1], lines[-1] + '"""'] if len(lines) == 1 else [*lines, '"""']
    return [indent + line if line else "" for line in lines]


def signature(node: ast.FunctionDef) -> str:
    bare = ast.FunctionDef(
        node.name, node.args, [ast.Expr(ast.Constant(...))], node.decorator_list, node.returns
    )
    text = (
        ast.unparse(ast.fix_missing_locations(bare))
        .replace("onnxport._native.nn.", "")
        .replace("onnxport._native.", "")
    )
    *decorators, line = text.rpartition("\n")[0].splitlines()
    name, _, rest = line.partition("(")
    arguments, _, result = rest.rpartition(")")
    given = [spaced(one) for one in split(arguments)]
    line = f"{name}({', '.join(given)}){result}"
    if len(line) <= 110:
        return "\n".join([*decorators, line])
    return "\n".join([*decorators, f"{name}(", *(f"    {one}," for one in given), f"){result}"])


def spaced(argument: str) -> str:
    """`task: str='auto'` as people write it."""
    name, equals, default = argument.partition("=")
    if '"' not in default:
        default = default.replace("'", '"')
    return f"{name} = {default}" if equals and ":" in name else name + equals + default


def split(arguments: str) -> list[str]:
    """At the commas that are in no brackets."""
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(arguments):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(arguments[start:i].strip())
            start = i + 1
    return [one for one in (*parts, arguments[start:].strip()) if one]


def function(node: ast.FunctionDef, indent: str = "") -> list[str]:
    head = [indent + line for line in signature(node).splitlines()]
    text = docstring(node, indent + "    ")
    return [*head, *text] if text else [*head[:-1], head[-1] + " ..."]


def attributes(node: ast.ClassDef, source: list[str]) -> list[str]:
    """Class attributes with the comments before them."""
    found = []
    for one in node.body:
        if isinstance(one, (ast.AnnAssign, ast.Assign)):
            name = ast.unparse(one.target if isinstance(one, ast.AnnAssign) else one.targets[0])
            if shown(name):
                above = source[one.lineno - 2].strip()
                found += ["    " + above] if above.startswith("#:") else []
                found.append("    " + ast.unparse(one).replace("'", '"').replace("lambda :", "lambda:"))
    return found


def definition(node: Definition, source: list[str]) -> str:
    if isinstance(node, ast.FunctionDef):
        return "\n".join(function(node))
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    lines = [f"class {node.name}({bases}):" if bases else f"class {node.name}:", *docstring(node, "    ")]
    lines += attributes(node, source)
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and shown(method.name):
            lines += ["", *function(method, "    ")]
    return "\n".join(lines if len(lines) > 1 else [lines[0] + " ..."])


def pages(package: Path) -> dict[str, str]:
    """The pages by the names of their files."""
    made = {}
    for module, files in MODULES.items():
        blocks = []
        introduction = ""
        for file in files:
            text = (package / file).read_text(encoding="utf-8")
            tree = ast.parse(text)
            introduction = introduction or (ast.get_docstring(tree) or "").split("\n\n")[0]
            entities: dict[str, list[str]] = {}
            names = exported(tree, file)
            whole = package.joinpath(*module.split(".")[1:], "__init__.py")
            if whole.exists():  # a package exports some of what its files define
                names &= listed(ast.parse(whole.read_text(encoding="utf-8"))) or names
            for node in tree.body:
                if isinstance(node, Definition) and node.name in names:
                    entities.setdefault(node.name, []).append(definition(node, text.splitlines()))
            for name, definitions in entities.items():
                code = "\n".join(definitions)
                blocks.append(f"## `{module}.{name}`\n\n```python\n{code}\n```\n")
        made[f"{module}.md"] = "\n".join([f"# {module}\n\n{introduction}\n", *blocks])
    return made
