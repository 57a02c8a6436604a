"""Reference pages of the C++ API: what the public headers declare, with their comments, as they are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from clang.cindex import AccessSpecifier, Config, Cursor, CursorKind, Index, TranslationUnit

CLASSES = (CursorKind.CLASS_DECL, CursorKind.STRUCT_DECL, CursorKind.CLASS_TEMPLATE)
FUNCTIONS = (CursorKind.FUNCTION_DECL, CursorKind.FUNCTION_TEMPLATE)
OTHERS = (
    CursorKind.ENUM_DECL,
    CursorKind.TYPE_ALIAS_DECL,
    CursorKind.TYPE_ALIAS_TEMPLATE_DECL,
    CursorKind.VAR_DECL,
)
METHODS = (
    CursorKind.CXX_METHOD, CursorKind.CONSTRUCTOR, CursorKind.DESTRUCTOR, CursorKind.CONVERSION_FUNCTION,
    CursorKind.FUNCTION_TEMPLATE, CursorKind.FUNCTION_DECL,
)  # fmt: skip


def parse(include: Path, headers: list[str], library: Path) -> TranslationUnit:
    """One translation unit of all headers."""
    Config.set_library_path(str(library))
    search = subprocess.run(
        ["c++", "-E", "-x", "c++", "-", "-v"], input="", capture_output=True, text=True, check=True
    ).stderr.partition("<...> search starts here:\n")[2]
    folders = [line.strip() for line in search.splitlines() if line.startswith(" ")]
    text = "".join(f'#include "{header}"\n' for header in headers)
    unit = Index.create().parse(
        "all.cpp",
        args=["-std=c++20", "-xc++", f"-I{include}", *(f"-isystem{folder}" for folder in folders)],
        unsaved_files=[("all.cpp", text)],
    )
    errors = [str(one) for one in unit.diagnostics if one.severity >= 3]
    if errors:
        raise SystemExit("\n".join(errors[:10]))
    return unit


class Page:
    """The declarations of one header, in their order."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.bytes = path.read_bytes()
        self.entities: dict[str, list[str]] = {}

    def introduction(self) -> str:
        """The comment at the top of the header."""
        lines = self.bytes.decode().splitlines()
        top = [line for line in lines[: next(i for i, one in enumerate(lines) if not one.startswith("//"))]]
        return "\n".join(re.sub(r"^/+ ?", "", line) for line in top if "SPDX" not in line)

    def source(self, start: int, end: int) -> str:
        return self.bytes[start:end].decode()

    def comment(self, cursor: Cursor) -> str:
        """The comment before a declaration, or behind it."""
        raw = cursor.raw_comment or ""
        return "\n".join(line.strip() for line in raw.splitlines())

    def declaration(self, cursor: Cursor) -> str:
        """A declaration without its body and without the macro of exported symbols."""
        start, end = cursor.extent.start.offset, cursor.extent.end.offset
        if cursor.kind in METHODS:
            for child in cursor.get_children():
                if child.kind == CursorKind.COMPOUND_STMT:
                    end = child.extent.start.offset
            text = self.source(start, end)
            if cursor.kind == CursorKind.CONSTRUCTOR:
                text = without_initializers(text)
            # The extent of what is defaulted or deleted ends before its last letter.
            text = re.sub(
                r"= (defaul|delet)$", lambda found: found[0] + {"defaul": "t", "delet": "e"}[found[1]], text
            )
        else:
            text = self.source(start, end)
        return tidy(text) + ";"

    def add(self, cursor: Cursor, scope: str) -> None:
        text = (
            self.whole_class(cursor)
            if cursor.kind in CLASSES
            else self.with_comment(cursor, self.declaration(cursor))
        )
        self.entities.setdefault(f"{scope}::{cursor.spelling}", []).append(text)

    def with_comment(self, cursor: Cursor, text: str) -> str:
        comment = self.comment(cursor)
        behind = re.match(rb"[^\n]*?(///<[^\n]*)", self.bytes[cursor.extent.end.offset :])
        if behind and not comment.startswith("///<"):  # clang sees none behind a body
            text += "  " + behind[1].decode()
        if not comment:
            return text
        return f"{text}  {comment}" if comment.startswith("///<") else f"{comment}\n{text}"

    def whole_class(self, cursor: Cursor) -> str:
        """A class with its public members."""
        inside = cursor.extent.start.offset
        head = re.match(r"[^{;]*", self.source(inside, cursor.extent.end.offset))
        assert head
        parts = []
        for member in cursor.get_children():
            if member.access_specifier not in (AccessSpecifier.PUBLIC, AccessSpecifier.INVALID):
                continue
            if member.kind in CLASSES:
                parts.append(self.whole_class(member))
            elif member.kind in (*METHODS, *OTHERS, CursorKind.FIELD_DECL, CursorKind.USING_DECLARATION):
                parts.append(self.with_comment(member, self.declaration(member)))
        body = "\n".join(indented(part) for part in parts)
        public = " public:\n" if cursor.kind == CursorKind.CLASS_DECL else ""
        text = f"{tidy(head[0])} {{\n{public}{body}\n}};" if body else f"{tidy(head[0])};"
        return self.with_comment(cursor, text)

    def text(self) -> str:
        blocks = [f"# {self.name}\n\n{self.introduction()}\n"]
        for name, declarations in self.entities.items():
            code = "\n".join(declarations)
            blocks.append(f"## `{name}`\n\n```cpp\n{code}\n```\n")
        return "\n".join(blocks)


def without_initializers(text: str) -> str:
    """A constructor up to the colon behind its parameters."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == ":" and depth == 0 and ":" not in (text[i - 1], text[i + 1]):
            return text[:i]
    return text


def tidy(text: str) -> str:
    """Without macros, and with the indentation of its first line."""
    text = re.sub(r"\bONNXPORT_API ", "", text.strip())
    lines = text.splitlines()
    depth = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    shift = max(0, depth - 4) if not text.startswith(("struct", "class", "enum")) else depth
    return "\n".join([lines[0], *(line[shift:] for line in lines[1:])]).rstrip()


def indented(text: str) -> str:
    return "\n".join("  " + line if line else line for line in text.splitlines())


def declarations(cursor: Cursor, scope: str) -> Iterator[tuple[str, Cursor]]:
    """What the namespaces of the project declare, but for details."""
    for child in cursor.get_children():
        if child.kind == CursorKind.NAMESPACE:
            inside = f"{scope}::{child.spelling}" if scope else child.spelling
            if inside.split("::")[0] == "onnxport" and child.spelling != "detail":
                yield from declarations(child, inside)
        elif scope and child.kind in (*CLASSES, *FUNCTIONS, *OTHERS):
            if child.kind in CLASSES and not child.is_definition():
                continue
            yield scope, child


def pages(include: Path, library: Path) -> dict[str, str]:
    """The pages by the names of their files."""
    headers = sorted(path.relative_to(include).as_posix() for path in include.rglob("*.h"))
    made = {header: Page(include / header, header) for header in headers}
    seen = set()
    for scope, cursor in declarations(parse(include, headers, library).cursor, ""):
        path = Path(str(cursor.location.file)).resolve()
        place = (str(path), cursor.extent.start.offset)
        if place in seen or not path.is_relative_to(include.resolve()):
            continue
        seen.add(place)
        made[path.relative_to(include.resolve()).as_posix()].add(cursor, scope)
    return {
        header.removeprefix("onnxport/").removesuffix(".h") + ".md": page.text()
        for header, page in made.items()
        if page.entities
    }
