"""What expressions may use: CEL's standard library, but for the comparisons, and the variables of an event.

Must never: compile or evaluate.
"""

from collections.abc import Iterator
from functools import cache
from itertools import permutations
from typing import Any

from hookd.rules.conditions.condition_errors import CONTAINER, VARIABLES

_ORDERINGS = (("_<_", "less"), ("_<=_", "less_equals"), ("_>_", "greater"), ("_>=_", "greater_equals"))
_NUMBERS = {"int64": "int", "uint64": "uint", "double": "double"}
_ORDERED = {**_NUMBERS, **{name: name for name in ("bool", "string", "bytes", "timestamp", "duration")}}


@cache
def environment() -> Any:
    """Where expressions are compiled, and their variables made."""
    # It takes 6 MiB of memory: only those who use `where` import it. Its types are not marked as such (PEP 561).
    from cel_expr_python import cel  # type: ignore[import-untyped] # noqa: PLC0415 - see above

    kinds = cel.Type
    declared: dict[str, list[Any]] = {}
    for function, overload, first, second in _comparisons():
        sides = {"list": kinds.List(kinds.DYN), "map": kinds.Map(kinds.DYN, kinds.DYN)}
        parameters = [kinds(first), sides.get(second) or kinds(second)]
        declared.setdefault(function, []).append(cel.Overload(overload, kinds.BOOL, parameters))
    excluded = "".join(f'\n    - name: "{function}"' for function in declared)
    text, mapping = kinds.STRING, kinds.Map(kinds.STRING, kinds.DYN)
    variables = zip(VARIABLES, (text, text, mapping, mapping, kinds.TIMESTAMP), strict=True)
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(f"name: {CONTAINER}\nstdlib:\n  exclude_functions:{excluded}"),
        container=CONTAINER,
        functions=[cel.FunctionDecl(function, overloads) for function, overloads in declared.items()],
        variables={f"{CONTAINER}.{name}": kind for name, kind in variables},
    )


def _comparisons() -> Iterator[tuple[str, str, str, str]]:
    """The comparisons as `(function, id, first type, second type)`.

    They stand in for those of the standard library, whose checker refuses `1 < 1.5` and `2.0 in [1, 2]`. Evaluating
    compares by value anyway: whole numbers exactly, a whole number with a fraction as floats.
    """
    for function, name in _ORDERINGS:
        for kind, declared in _ORDERED.items():
            yield function, f"{name}_{kind}", declared, declared
        for (left, first), (right, second) in permutations(_NUMBERS.items(), 2):
            yield function, f"{name}_{left}_{right}", first, second
    yield "_==_", "equals", "dyn", "dyn"
    yield "_!=_", "not_equals", "dyn", "dyn"
    yield "@in", "in_list", "dyn", "list"
    yield "@in", "in_map", "dyn", "map"
