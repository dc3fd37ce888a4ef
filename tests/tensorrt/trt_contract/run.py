"""One release: what of the code is reachable there, with which values, and what it uses."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping, Sequence

from trt_fakes.api import RELEASES, load

from trt_contract.expressions import annotated
from trt_contract.interpret import Walker
from trt_contract.program import Module, Program
from trt_contract.values import ANY, PLAIN, Atom, Value, is_tensorrt, join, lookup, one, takes

Facts = Mapping[str, tuple[str | None, str | None]]
Problem = tuple[str, int, str, str]  # file, line, name, what
WALKS = 60  # of one function, before the analysis gives up

#: Classes whose longer member names are so much their own that a use on something unknown counts.
OWN = (
    "Builder",
    "IBuilderConfig",
    "INetworkDefinition",
    "OnnxParser",
    "IOptimizationProfile",
    "Runtime",
    "ICudaEngine",
    "IExecutionContext",
    "EngineInspector",
)


class Run:
    """One release: what is reachable, with which arguments, and what it uses."""

    def __init__(self, program: Program, release: str, facts: Facts) -> None:
        self.program, self.api, self.facts = program, load(release), facts
        self.found: dict[str, set[Problem]] = defaultdict(set)  # by the function it was found in
        self.used: dict[tuple[str, int, str], bool] = {}
        self.reached: dict[str, dict[str, Value]] = {}
        self.returned: dict[str, Value] = {}
        self.fields: dict[tuple[str, str], Value] = {}
        self.closures: dict[str, dict[str, Value]] = {}
        self.derived: dict[str, str] = {}
        self.current = ""
        self.dirty: dict[str, None] = {}  # functions to walk, in order
        self.walks: dict[str, int] = defaultdict(int)
        self.readers: dict[object, set[str]] = defaultdict(set)  # field or function -> who uses it
        self.distinctive = distinctive_names()
        self._named: dict[str, set[str]] = {}
        self._methods: dict[str, set[str]] = defaultdict(set)
        for ours in program.classes.values():
            for name, key in ours.methods.items():
                self._methods[name].add(key)

    @property
    def problems(self) -> set[Problem]:
        return set().union(*self.found.values())

    def problem(self, module: Module, node: ast.AST, name: str, what: str) -> None:
        self.found[self.current].add((module.file, getattr(node, "lineno", 0), name, what))

    # --- what the walkers ask -------------------------------------------------------------------

    def has(self, path: str) -> bool:
        """Whether the release has ``BuilderFlag.FP16``."""
        if path.startswith("ILogger.Severity."):
            path = path.replace(".Severity.", ".", 1)
        value: Value | None = one("module")
        for part in path.split("."):
            atoms = [a for a in value or () if is_tensorrt(a)]
            value = lookup(self.api, atoms[0], part) if atoms else None
        return value is not None

    def use(
        self, module: Module, node: ast.expr, atom: Atom, name: str, found: bool, tolerated: bool
    ) -> None:
        owner = "trt" if atom[0] == "module" else f"trt.{atom[1]}"
        place = (module.file, node.lineno, f"{owner}.{name}")
        self.used[place] = self.used.get(place, False) or found
        if not found and not tolerated:
            self.problem(module, node, place[2], "does not exist")

    def wrong_call(
        self, module: Module, node: ast.Call, name: str, positional: int, keywords: set[str | None]
    ) -> None:
        named = [f"{k}=..." for k in sorted(map(str, keywords))]
        given = ", ".join(["..."] * positional + named)
        self.problem(module, node, f"trt.{name}", f"cannot be called with ({given})")

    def unresolved(self, module: Module, node: ast.expr, name: str) -> None:
        what = "looks like TensorRT's, and it is unclear what it is used on: name or annotate it"
        self.problem(module, node, f".{name}", what)

    def check_overrides(self, module: Module, node: ast.ClassDef, base: str) -> None:
        for part in node.body:
            member = self.api.classes[base].members.get(getattr(part, "name", ""))
            if not isinstance(part, ast.FunctionDef) or member is None or part.name == "__init__":
                continue
            count = len(part.args.args) - 1
            if member.signatures and not takes(member.signatures, count, set()):
                what = f"is overridden with {count} parameters"
                self.problem(module, part, f"trt.{base}.{part.name}", what)

    # --- names, classes, functions --------------------------------------------------------------

    def global_value(self, module: Module, name: str) -> Value:
        if name in ("list", "tuple", "sorted", "reversed"):
            return one("builtin", "list")
        own = f"{module.name}.{name}"
        if own in self.program.functions:
            return one("def", own)
        if own in self.program.classes:
            return one("ours", own)
        if name in module.imports:
            return self.imported(module.imports[name])
        return self.field(module.name, name) or PLAIN

    def imported(self, name: str) -> Value:
        if name.partition(".")[0] == "tensorrt":
            inner = name.partition(".")[2]
            return (lookup(self.api, ("module",), inner) if inner else one("module")) or ANY
        if name in self.program.functions:
            return one("def", name)
        if name in self.program.classes:
            return one("ours", name)
        if name in self.program.modules or name == "edgereid":
            return one("imported", name)
        module, _, constant = name.rpartition(".")
        return self.field(module, constant) or PLAIN

    def method(self, key: str, name: str) -> str | None:
        ours = self.program.classes[key]
        if name in ours.methods:
            return ours.methods[name]
        for base in ours.node.bases:
            for atom in self.global_value(ours.module, ast.unparse(base)):
                if atom[0] == "ours" and atom[1] != key:
                    return self.method(atom[1], name)
        return None

    def attribute_of(self, key: str, name: str) -> Value:
        """An attribute of an object of ours."""
        method = self.method(key, name)
        if method is not None:
            if self.program.functions[method].is_property:
                return self.call(method, [one("instance", key)], {})
            if self.program.functions[method].is_static:
                return one("def", method)
            return one("bound", method, key)
        known = self.field(key, name)
        if known:
            return known
        base = self.derived.get(key)
        inherited = lookup(self.api, ("obj", base), name) if base else None
        if inherited is not None:
            return inherited
        ours = self.program.classes[key]
        if name in ours.annotations:
            arg = ast.arg(arg=name, annotation=ours.annotations[name])
            return annotated(self, ours.module, arg)
        return ANY

    def field(self, key: str, name: str) -> Value:
        """What is known of an attribute or of a module's variable; nothing yet is empty."""
        self.readers[key, name].add(self.current)
        return self.fields.get((key, name), frozenset())

    def set_field(self, key: str, name: str, value: Value) -> None:
        before = self.fields.get((key, name), frozenset())
        after = join(before, value)
        if after != before:
            self.fields[key, name] = after
            self.touch((key, name))

    def construct(self, key: str, args: list[Value], keywords: Mapping[str | None, Value]) -> Value:
        init = self.method(key, "__init__")
        if init is not None:
            self.call(init, [one("instance", key), *args], keywords)
        else:
            fields = self.program.classes[key].fields
            given = dict(zip(fields, args, strict=False)) | {k: v for k, v in keywords.items() if k}
            for name, value in given.items():
                if value != ANY:
                    self.set_field(key, name, value)
        return one("instance", key)

    def call(self, key: str, args: Sequence[Value], keywords: Mapping[str | None, Value]) -> Value:
        definition = self.program.functions[key]
        names = [a.arg for a in definition.parameters]
        given = dict(zip(names, args, strict=False))
        given |= {k: v for k, v in keywords.items() if k in names}
        self.reach(key, {str(k): v for k, v in given.items()})
        self.readers[key].add(self.current)
        return self.returned.get(key, frozenset())

    def touch(self, thing: object) -> None:
        """Whoever uses it has to be walked again."""
        self.dirty |= dict.fromkeys(key for key in self.readers[thing] if key in self.reached)

    def close_over(self, key: str, env: dict[str, Value]) -> None:
        """The variables around a function that is defined within another."""
        if self.closures.get(key) != env:
            self.closures[key] = dict(env)
            if key in self.reached:
                self.dirty[key] = None

    def reach(self, key: str, given: Mapping[str, Value]) -> None:
        """A function is called with these arguments; what is not given is known by annotation."""
        known = self.reached.get(key)
        if known is None:
            known = self.reached[key] = {}
            self.dirty[key] = None
        definition = self.program.functions[key]
        for arg in definition.parameters:
            value = given.get(arg.arg, frozenset())
            if value <= ANY:
                value = annotated(self, definition.module, arg)
            if definition.owner and arg is definition.parameters[0] and not definition.is_static:
                value = one("instance", definition.owner)
            after = join(known.get(arg.arg, frozenset()), value)
            if len(after) > 1 and ("any",) in after:
                after = after - ANY
            if after != known.get(arg.arg):
                known[arg.arg] = after
                self.dirty[key] = None

    # --- the fixed point ------------------------------------------------------------------------

    def references(self, key: str) -> set[str]:
        """The functions that a function names, in whatever branch."""
        if key not in self._named:
            found: set[str] = set()
            definition = self.program.functions[key]
            for node in ast.walk(definition.node):
                if isinstance(node, ast.Name):
                    for atom in self.global_value(definition.module, node.id):
                        found |= self._keys_of(atom)
                elif isinstance(node, ast.Attribute) and not node.attr.startswith("__"):
                    found |= self._methods.get(node.attr, set())
            self._named[key] = found
        return self._named[key]

    def _keys_of(self, atom: Atom) -> set[str]:
        if atom[0] == "def":
            return {atom[1]}
        init = self.method(atom[1], "__init__") if atom[0] == "ours" else None
        return set() if init is None else {init}

    def settle(self) -> None:
        """Walk what is new, and again whatever depends on something that changed meanwhile."""
        while self.dirty:
            key = next(iter(self.dirty))
            del self.dirty[key]
            self.walks[key] += 1
            assert self.walks[key] < WALKS, f"{key}: no end after {WALKS} walks"
            self._walk(key)

    def walk_module(self, module: Module) -> None:
        self.current = module.name
        walker = Walker(self, module.name, module, {})
        for statement in module.tree.body:
            if isinstance(statement, ast.ClassDef):
                walker.derive(f"{module.name}.{statement.name}", statement)
            elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                walker.statement(statement)
        for name, value in walker.env.items():
            self.set_field(module.name, name, value)

    def _walk(self, key: str) -> None:
        self.current = key
        self.found[key].clear()
        definition = self.program.functions[key]
        env = {**self.closures.get(key, {}), **self.reached[key]}
        walker = Walker(self, key, definition.module, env)
        if walker.body(definition.node.body):
            walker.returns = join(walker.returns, one("const", None))
        before = self.returned.get(key, frozenset())
        after = join(before, walker.returns)
        if after != before:
            self.returned[key] = after
            self.touch(key)


def distinctive_names() -> frozenset[str]:
    """Members that nothing but TensorRT has: long names of its central classes."""
    found: set[str] = set()
    for release in RELEASES:
        classes = load(release).classes
        found |= {m for name in OWN if name in classes for m in classes[name].members}
    return frozenset(n for n in found if n.count("_") >= 2 and not n.startswith("__"))
