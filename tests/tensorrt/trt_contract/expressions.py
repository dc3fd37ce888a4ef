# ruff: noqa: N802, N815  (named after the nodes of ast)
"""Expressions for one release: attributes looked up, calls checked, feature tests decided."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from trt_contract.program import Module
from trt_contract.values import (
    ANY,
    PLAIN,
    Atom,
    Value,
    const,
    elements,
    is_tensorrt,
    join,
    listed,
    lookup,
    of_type,
    one,
    takes,
    truth,
    tupled,
)

if TYPE_CHECKING:
    from trt_contract.run import Run

#: Names under which the code passes TensorRT's objects on with the annotation Any or without one.
CONVENTION = {
    "trt": ("module",),
    "builder": ("obj", "Builder"),
    "network": ("obj", "INetworkDefinition"),
    "parser": ("obj", "OnnxParser"),
    "config": ("obj", "IBuilderConfig"),
    "runtime": ("obj", "Runtime"),
    "engine": ("obj", "ICudaEngine"),
    "context": ("obj", "IExecutionContext"),
    "inspector": ("obj", "EngineInspector"),
}


class Expressions:
    """State of a walk through one function."""

    def __init__(self, run: Run, key: str, module: Module, env: dict[str, Value]) -> None:
        self.run, self.key, self.module, self.env = run, key, module, env
        self.returns: Value = frozenset()
        self.tolerant = 0

    # --- values ---------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Value:
        find = getattr(self, f"value_{type(node).__name__}", None)
        if find is not None:
            found: Value = find(node)
            return found
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
        return PLAIN

    def value_Constant(self, node: ast.Constant) -> Value:
        return const(node.value)

    def value_Name(self, node: ast.Name) -> Value:
        if node.id in self.env:
            return self.env[node.id]
        return self.run.global_value(self.module, node.id)

    def value_Tuple(self, node: ast.Tuple) -> Value:
        if any(isinstance(e, ast.Starred) for e in node.elts):
            return listed(join(*(self.value(e) for e in node.elts)))
        return tupled([self.value(e) for e in node.elts])

    def value_List(self, node: ast.List) -> Value:
        items = [self.value(e) for e in node.elts]
        return listed(join(*items) if items else frozenset())

    value_Set = value_List

    def value_Starred(self, node: ast.Starred) -> Value:
        return elements(self.value(node.value))

    def value_Dict(self, node: ast.Dict) -> Value:
        for part in (*node.keys, *node.values):
            if part is not None:
                self.value(part)
        return PLAIN

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Value:
        before = dict(self.env)
        possible = self._generators(node.generators)
        item = self.value(node.elt) if possible else frozenset()
        self.env = before
        return listed(item)

    value_ListComp = value_SetComp = value_GeneratorExp = _comprehension

    def value_DictComp(self, node: ast.DictComp) -> Value:
        before = dict(self.env)
        if self._generators(node.generators):
            self.value(node.key)
            self.value(node.value)
        self.env = before
        return PLAIN

    def _generators(self, generators: list[ast.comprehension]) -> bool:
        """Bind the targets; False when a condition cannot hold."""
        for part in generators:
            self.assign(part.target, elements(self.value(part.iter)))
            if any(self.decide(c) is False for c in part.ifs):
                return False
        return True

    def assign(self, target: ast.expr, value: Value) -> None:
        raise NotImplementedError

    def value_NamedExpr(self, node: ast.NamedExpr) -> Value:
        value = self.value(node.value)
        self.assign(node.target, value)
        return value

    def value_Subscript(self, node: ast.Subscript) -> Value:
        value = self.value(node.value)
        self.value(node.slice)
        return value if isinstance(node.slice, ast.Slice) else elements(value)

    def value_IfExp(self, node: ast.IfExp) -> Value:
        known = self.decide(node.test)
        if known is not None:
            return self.value(node.body if known else node.orelse)
        return join(self.value(node.body), self.value(node.orelse))

    def value_BoolOp(self, node: ast.BoolOp) -> Value:
        stops = isinstance(node.op, ast.Or)  # at the first that is true
        found: list[Value] = []
        for part in node.values:
            value, known = self._condition(part), self.decide(part)
            if known is None or known == stops:
                found.append(value)
            if known == stops:
                break
        else:
            found.append(value)
        return join(*found)

    def value_UnaryOp(self, node: ast.UnaryOp) -> Value:
        if not isinstance(node.op, ast.Not):
            return self.value_default(node)
        known = self.decide(node.operand)
        return PLAIN if known is None else const(not known)

    def value_Compare(self, node: ast.Compare) -> Value:
        left = self.value(node.left)
        right = [self.value(c) for c in node.comparators]
        is_none = right and right[0] == const(None) and isinstance(node.ops[0], ast.Is | ast.IsNot)
        if not is_none or ("any",) in left or ("plain",) in left:
            return PLAIN
        kinds = {atom == ("const", None) for atom in left if atom[0] != "obj"}
        if any(atom[0] == "obj" for atom in left) or len(kinds) != 1:
            return PLAIN
        return const(kinds.pop() == isinstance(node.ops[0], ast.Is))

    def value_Lambda(self, node: ast.Lambda) -> Value:
        before = dict(self.env)
        for arg in node.args.args:
            self.env[arg.arg] = ANY
        self.value(node.body)
        self.env = before
        return PLAIN

    def value_Await(self, node: ast.Await) -> Value:
        return self.value(node.value)

    def value_default(self, node: ast.expr) -> Value:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
        return PLAIN

    # --- conditions -----------------------------------------------------------------------------

    def decide(self, node: ast.expr) -> bool | None:
        """Whether a condition holds in this release; None when it depends on something else."""
        if isinstance(node, ast.BoolOp):
            stops = isinstance(node.op, ast.Or)
            known = True
            for part in node.values:
                found = self.decide(part)
                if found == stops:
                    return stops
                known = known and found is not None
            return not stops if known else None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            found = self.decide(node.operand)
            return None if found is None else not found
        return truth(self._condition(node))

    def _condition(self, node: ast.expr) -> Value:
        value = self.value(node)
        fact = self.run.facts.get(ast.unparse(node))
        if fact is None or truth(value) is not None:
            return value
        if_true, if_false = fact
        if if_true and not self.run.has(if_true):
            return const(False)
        if if_false and not self.run.has(if_false):
            return const(True)
        return value

    # --- attributes -----------------------------------------------------------------------------

    def value_Attribute(self, node: ast.Attribute) -> Value:
        base = self.value(node.value)
        return self.attribute(node, base, node.attr)

    def attribute(self, node: ast.expr, base: Value, name: str) -> Value:
        """The attribute of whatever the base may be; misses are noted."""
        if base == ANY and name in self.run.distinctive:
            self.run.unresolved(self.module, node, name)
        found = []
        for atom in base:
            if is_tensorrt(atom):
                value = lookup(self.run.api, atom, name)
                self.run.use(self.module, node, atom, name, value is not None, self.tolerant > 0)
                found.append(ANY if value is None else value)
            else:
                found.append(self._other(atom, name))
        return join(*found) if found else ANY

    def _other(self, atom: Atom, name: str) -> Value:
        if atom[0] == "instance":
            return self.run.attribute_of(atom[1], name)
        if atom[0] == "ours":
            method = self.run.method(atom[1], name)
            return ANY if method is None else one("def", method)
        if atom[0] == "imported":
            return self.run.imported(f"{atom[1]}.{name}")
        return PLAIN if atom[0] in ("plain", "const", "list", "tuple") else ANY

    def set_attribute(self, target: ast.Attribute, value: Value) -> None:
        """``base.name = value``: a property that can be set, or a field of ours."""
        base = self.value(target.value)
        if base == ANY and target.attr in self.run.distinctive:
            self.run.unresolved(self.module, target, target.attr)
        for atom in base:
            if atom[0] == "instance":
                self.run.set_field(atom[1], target.attr, value)
            elif is_tensorrt(atom):
                members = self.run.api.classes.get(atom[-1])
                member = members.members.get(target.attr) if members else None
                done = member is not None and member.kind == "rw"
                self.run.use(self.module, target, atom, target.attr, done, self.tolerant > 0)

    def derive(self, key: str, node: ast.ClassDef) -> None:
        """A class that derives from one of TensorRT's: what it overrides must be called alike."""
        for base in node.bases:
            for atom in self.value(base):
                if atom[0] == "class":
                    self.run.derived[key] = atom[1]
                    self.run.check_overrides(self.module, node, atom[1])

    # --- calls ----------------------------------------------------------------------------------

    def value_Call(self, node: ast.Call) -> Value:
        special = {"hasattr": self._hasattr, "getattr": self._getattr}
        if isinstance(node.func, ast.Name) and node.func.id in special and len(node.args) > 1:
            return special[node.func.id](node)
        called = self.value(node.func)
        args = [self.value(a) for a in node.args]
        keywords = {k.arg: self.value(k.value) for k in node.keywords}
        if ast.unparse(node.func).endswith("import_module") and args == [const("tensorrt")]:
            return one("module")
        open_ended = None in keywords or any(isinstance(a, ast.Starred) for a in node.args)
        found = []
        for atom in called:
            if atom[0] in ("class", "function", "method", "unbound"):
                found.append(self._call_tensorrt(node, atom, args, set(keywords), open_ended))
            else:
                found.append(self._call_ours(atom, args, keywords))
        self._references(args + list(keywords.values()))
        return join(*found) if found else ANY

    def _references(self, values: list[Value]) -> None:
        """Functions of ours that are handed over are called by somebody."""
        for atom in (a for v in values for a in v):
            if atom[0] == "def":
                self.run.reach(atom[1], {})
            elif atom[0] == "bound":
                self.run.reach(atom[1], {"self": one("instance", atom[2])})

    def _call_tensorrt(
        self, node: ast.Call, atom: Atom, args: list[Value], keywords: set[str | None],
        open_ended: bool,
    ) -> Value:  # fmt: skip
        api = self.run.api
        result: Value
        positional = len(args)
        if atom[0] == "class":
            if atom[1] not in api.classes:  # an enumeration of a number
                return one("obj", atom[1])
            signatures, result = (
                api.classes[atom[1]].members["__init__"].signatures,
                one("obj", atom[1]),
            )
        elif atom[0] == "function":
            signatures = api.functions[atom[1]]
            result = join(*(of_type(api, s.returns) for s in signatures)) if signatures else PLAIN
        else:
            signatures = api.classes[atom[1]].members[atom[2]].signatures
            result = join(*(of_type(api, s.returns) for s in signatures)) if signatures else PLAIN
            positional -= atom[0] == "unbound"  # Class.method(self, ...)
        if not open_ended and not takes(signatures, positional, {k for k in keywords if k}):
            name = ".".join(atom[1:])
            self.run.wrong_call(self.module, node, name, positional, keywords)
        return result

    def _call_ours(self, atom: Atom, args: list[Value], keywords: dict[str | None, Value]) -> Value:
        if atom[0] == "def":
            return self.run.call(atom[1], args, keywords)
        if atom[0] == "bound":
            return self.run.call(atom[1], [one("instance", atom[2]), *args], keywords)
        if atom[0] == "ours":
            return self.run.construct(atom[1], args, keywords)
        if atom == ("builtin", "list") and args:
            return listed(elements(args[0]))
        return ANY if atom[0] in ("any", "imported") else PLAIN

    def _feature(self, node: ast.Call) -> tuple[Value, str | None]:
        name = node.args[1]
        known = isinstance(name, ast.Constant) and isinstance(name.value, str)
        return self.value(node.args[0]), name.value if known else None  # type: ignore[union-attr]

    def _hasattr(self, node: ast.Call) -> Value:
        base, name = self._feature(node)
        answers = set()
        for atom in base:
            if name is None or not is_tensorrt(atom):
                continue  # something unknown besides: what is known decides
            found = lookup(self.run.api, atom, name) is not None
            self.run.use(self.module, node, atom, name, found, tolerated=True)
            answers.add(found)
        return const(answers.pop()) if len(answers) == 1 else PLAIN

    def _getattr(self, node: ast.Call) -> Value:
        base, name = self._feature(node)
        fallback = self.value(node.args[2]) if len(node.args) > 2 else None
        found = []
        for atom in base:
            if name is None or not is_tensorrt(atom):
                found.append(ANY)
                continue
            value = lookup(self.run.api, atom, name)
            tolerated = fallback is not None or self.tolerant > 0
            self.run.use(self.module, node, atom, name, value is not None, tolerated)
            found.append(value if value is not None else fallback or ANY)
        return join(*found) if found else ANY


def annotated(run: Run, module: Module, arg: ast.arg) -> Value:
    """What a parameter is by its annotation, or by its name where that is Any."""
    text = "Any" if arg.annotation is None else ast.unparse(arg.annotation)
    text = text.removesuffix(" | None").strip("'\"")
    if text == "Any":
        atom = CONVENTION.get(arg.arg)
        return ANY if atom is None else frozenset({atom})
    found = run.global_value(module, text)
    return join(*(one("instance", a[1]) if a[0] == "ours" else PLAIN for a in found)) or PLAIN
