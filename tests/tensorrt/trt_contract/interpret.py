# ruff: noqa: N802, N815  (named after the nodes of ast)
"""One pass over a function for one release: what is used there, and what comes back."""

from __future__ import annotations

import ast
from typing import Any

from trt_contract.expressions import Expressions
from trt_contract.program import Function
from trt_contract.values import ANY, PLAIN, Value, const, elements, join, listed

Env = dict[str, Value]
TOLERANT = {"AttributeError", "Exception", "BaseException"}


class Walker(Expressions):
    """Walks statements. Each ``walk_*`` gives whether the code behind it can be reached."""

    def body(self, statements: list[ast.stmt]) -> bool:
        return all(self.statement(s) for s in statements)

    def statement(self, node: ast.stmt) -> bool:
        walk = getattr(self, f"walk_{type(node).__name__}", None)
        if walk is not None:
            return bool(walk(node))
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
        return True

    def walk_Return(self, node: ast.Return) -> bool:
        value = self.value(node.value) if node.value else const(None)
        self._references([value])
        self.returns = join(self.returns, value)
        return False

    def walk_Raise(self, node: ast.Raise) -> bool:
        for part in (node.exc, node.cause):
            if part is not None:
                self.value(part)
        return False

    def walk_Continue(self, node: ast.Continue) -> bool:
        return False

    walk_Break = walk_Continue

    def walk_Expr(self, node: ast.Expr) -> bool:
        if isinstance(node.value, ast.Yield | ast.YieldFrom) and node.value.value is not None:
            given = self.value(node.value.value)
            self._references([given])
            self.returns = join(self.returns, listed(given))
            return True
        self.value(node.value)
        return True

    def walk_Assign(self, node: ast.Assign) -> bool:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)
        return True

    def walk_AnnAssign(self, node: ast.AnnAssign) -> bool:
        if node.value is not None:
            self.assign(node.target, self.value(node.value))
        return True

    def walk_AugAssign(self, node: ast.AugAssign) -> bool:
        value = join(self.value(node.target), self.value(node.value))
        self.assign(node.target, value)
        return True

    def walk_If(self, node: ast.If) -> bool:
        known = self.decide(node.test)
        if known is not None:
            return self.body(node.body if known else node.orelse)
        before = dict(self.env)
        first = self.body(node.body)
        after, self.env = self.env, before
        second = self.body(node.orelse)
        if first and second:
            self.env = merge(after, self.env)
        elif first:
            self.env = after
        return first or second

    def walk_While(self, node: ast.While) -> bool:
        known = self.decide(node.test)
        if known is not False:
            self._loop(node.body)
        self.body(node.orelse)
        return True

    def walk_For(self, node: ast.For) -> bool:
        self.assign(node.target, elements(self.value(node.iter)))
        self._loop(node.body)
        self.body(node.orelse)
        return True

    walk_AsyncFor = walk_For

    def _loop(self, body: list[ast.stmt]) -> None:
        for _ in range(2):  # what the body assigns may reach its own beginning
            before = dict(self.env)
            self.body(body)
            self.env = merge(before, self.env)

    def walk_With(self, node: ast.With) -> bool:
        for item in node.items:
            value = self.value(item.context_expr)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, entered(value))
        return self.body(node.body)

    walk_AsyncWith = walk_With

    def walk_Try(self, node: ast.Try) -> bool:
        caught = {n for h in node.handlers for n in names_of(h.type)}
        self.tolerant += bool(caught & TOLERANT)
        before = dict(self.env)
        through = self.body(node.body)
        self.tolerant -= bool(caught & TOLERANT)
        through = self.body(node.orelse) if through else False
        result = self.env
        for handler in node.handlers:
            self.env = merge(before, result)
            if handler.name:
                self.env[handler.name] = PLAIN
            if self.body(handler.body):
                result, through = merge(result, self.env), True
        self.env = result
        return self.body(node.finalbody) and through

    def walk_FunctionDef(self, node: Function) -> bool:
        key = f"{self.key}.<{node.name}>"
        self.run.program.add(self.module, node, key, None)
        self.run.close_over(f"{key}.{node.name}", self.env)
        self.env[node.name] = frozenset({("def", f"{key}.{node.name}")})
        return True

    walk_AsyncFunctionDef = walk_FunctionDef

    def walk_ClassDef(self, node: ast.ClassDef) -> bool:
        """A class within a function, such as a logger: its methods are callbacks."""
        prefix = f"{self.key}.<{node.name}>"
        self.run.program.add(self.module, node, prefix, None)
        key = f"{prefix}.{node.name}"
        self.env[node.name] = frozenset({("ours", key)})
        self.derive(key, node)
        for method in self.run.program.classes[key].methods.values():
            self.run.close_over(method, self.env)
            self.run.reach(method, {})
        return True

    def walk_Import(self, node: ast.Import) -> bool:
        return True  # resolved through the module's table

    walk_ImportFrom = walk_Import
    walk_Global = walk_Import
    walk_Pass = walk_Import

    def assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.env[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            exact = [a for a in value if a[0] == "tuple" and len(a) - 1 == len(target.elts)]
            for i, part in enumerate(target.elts):
                inner = join(*(a[1 + i] for a in exact)) if exact else elements(value)
                self.assign(part, inner)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, listed(elements(value)))
        elif isinstance(target, ast.Attribute):
            self.set_attribute(target, value)
        else:
            self.value(target)


def merge(a: Env, b: Env) -> Env:
    return {n: join(a.get(n, frozenset()), b.get(n, frozenset())) or ANY for n in {*a, *b}}


def entered(value: Value) -> Value:
    """What ``with`` binds: what a generator function yields, otherwise the object itself."""
    found = [atom[1] if atom[0] == "list" else frozenset({atom}) for atom in value]
    return join(*found) if found else ANY


def names_of(node: ast.expr | None) -> set[str]:
    if node is None:
        return {"BaseException"}
    parts: list[Any] = node.elts if isinstance(node, ast.Tuple) else [node]
    return {ast.unparse(p) for p in parts}
