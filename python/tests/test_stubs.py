"""The stubs say what the binary has: the same names, with the same parameters."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import dbksvd
from dbksvd import _core

STUBS = Path(dbksvd.__file__).with_name("_core.pyi")


def parameters(node: ast.FunctionDef) -> list[tuple[str, bool]]:
    """Names of a stub's parameters, and whether each has a default."""
    names = [argument.arg for argument in node.args.args]
    first_default = len(names) - len(node.args.defaults)
    return [(name, i >= first_default) for i, name in enumerate(names)]


def found(function: object) -> list[tuple[str, bool]]:
    signature = inspect.signature(function)
    has_default = [p.default is not inspect.Parameter.empty for p in signature.parameters.values()]
    return list(zip(signature.parameters, has_default))


def public(of: object) -> set[str]:
    return {name for name in vars(of) if not name.startswith("_")}


def test_every_name_of_the_binary_is_in_the_stubs_and_the_other_way_round():
    tree = ast.parse(STUBS.read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    assert public(_core) == functions.keys() | classes.keys() | {"VERSION"}
    for name, node in functions.items():
        assert parameters(node) == found(getattr(_core, name)), name
    for name, node in classes.items():
        methods = {node.name: node for node in node.body if isinstance(node, ast.FunctionDef)}
        binary = getattr(_core, name)
        assert public(binary) == methods.keys() - {"__new__"}, name
        for method, stub in methods.items():
            decorators = {decorator.id for decorator in stub.decorator_list}
            attribute = vars(binary)[method] if method != "__new__" else binary
            if "property" in decorators:
                assert inspect.isdatadescriptor(attribute), f"{name}.{method}"
                continue
            expected = parameters(stub)
            if method == "__new__":
                expected = expected[1:]
            if "staticmethod" in decorators:
                attribute = getattr(binary, method)
            assert expected == found(attribute), f"{name}.{method}"


def test_every_public_name_has_a_docstring():
    for name in dbksvd.__all__:
        thing = getattr(dbksvd, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(thing), name
        if not inspect.isclass(thing):
            continue
        for method, value in vars(thing).items():
            if not method.startswith("_") and callable(value):
                assert inspect.getdoc(value), f"{name}.{method}"
