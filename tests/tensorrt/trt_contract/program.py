"""The code under the contract: its modules, classes and functions, by name."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Definition:
    """A function or method. ``owner``: the key of its class."""

    key: str
    module: Module
    node: Function
    owner: str | None = None

    @property
    def parameters(self) -> list[ast.arg]:
        a = self.node.args
        return [*a.posonlyargs, *a.args, *a.kwonlyargs]

    @property
    def is_property(self) -> bool:
        names = {ast.unparse(d).rpartition(".")[2] for d in self.node.decorator_list}
        return bool(names & {"property", "cached_property"})

    @property
    def is_static(self) -> bool:
        return any(ast.unparse(d) == "staticmethod" for d in self.node.decorator_list)


@dataclass(slots=True)
class OurClass:
    """A class of the code. ``fields``: annotated names in order, as a dataclass takes them."""

    key: str
    module: Module
    node: ast.ClassDef
    methods: dict[str, str] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    annotations: dict[str, ast.expr] = field(default_factory=dict)


@dataclass(slots=True)
class Module:
    """``imports``: local name -> full dotted name."""

    name: str
    file: str
    text: str
    tree: ast.Module
    imports: dict[str, str] = field(default_factory=dict)


def _imports(tree: ast.Module) -> dict[str, str]:
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def mentions_tensorrt(tree: ast.Module, distinctive: frozenset[str] = frozenset()) -> bool:
    """Whether a file imports TensorRT, works with its module as ``trt``, or uses a member that only
    TensorRT's objects have."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in distinctive:
            return True
        if isinstance(node, ast.arg) and node.arg in ("trt", "tensorrt"):
            return True
        if isinstance(node, ast.Name) and node.id == "trt":
            return True
        if isinstance(node, ast.Import) and any(
            a.name.partition(".")[0] == "tensorrt" for a in node.names
        ):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tensorrt":
            return True
        if isinstance(node, ast.Call) and ast.unparse(node).endswith("import_module('tensorrt')"):
            return True
    return False


class Program:
    """Everything that may work with TensorRT's objects."""

    def __init__(self, sources: dict[str, str]) -> None:
        """``sources``: file, as messages name it, -> text. Modules are named after their files."""
        self.modules: dict[str, Module] = {}
        self.functions: dict[str, Definition] = {}
        self.classes: dict[str, OurClass] = {}
        for file, text in sources.items():
            parts = file.removesuffix(".py").removesuffix("/__init__").split("/")
            name = ".".join(parts if parts[0] == "edgereid" else ["edgereid", *parts])
            tree = ast.parse(text, file)
            module = Module(name, file, text, tree, _imports(tree))
            self.modules[name] = module
            for node in tree.body:
                self.add(module, node, name, None)

    def add(self, module: Module, node: ast.AST, prefix: str, owner: str | None) -> None:
        """Register a function or class, with the methods in it."""
        if isinstance(node, Function):
            key = f"{prefix}.{node.name}"
            self.functions[key] = Definition(key, module, node, owner)
        elif isinstance(node, ast.ClassDef):
            key = f"{prefix}.{node.name}"
            ours = OurClass(key, module, node)
            self.classes[key] = ours
            for part in node.body:
                if isinstance(part, Function):
                    ours.methods[part.name] = f"{key}.{part.name}"
                    self.add(module, part, key, key)
                elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    ours.fields.append(part.target.id)
                    ours.annotations[part.target.id] = part.annotation

    @classmethod
    def of_package(cls, root: Path, distinctive: frozenset[str]) -> Program:
        """The files of the package that use TensorRT, with everything in the same folders."""
        files: dict[Path, str] = {}
        for top in ("edgereid", "export", "calibration", "bench"):
            for file in sorted((root / top).rglob("*.py")):
                if not any(parent.is_symlink() for parent in file.parents):
                    files[file] = file.read_text(encoding="utf-8")
        using = {f for f, text in files.items() if mentions_tensorrt(ast.parse(text), distinctive)}
        folders = {f.parent for f in using if f.parent.name in OWN_FOLDERS}
        chosen = {f: t for f, t in files.items() if f in using or f.parent in folders}
        return cls({str(f.relative_to(root)): t for f, t in chosen.items()})


#: Folders in which every file is read as soon as one uses TensorRT.
OWN_FOLDERS = ("tensorrt", "inspect")
