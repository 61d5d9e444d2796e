#!/usr/bin/env bash
# Three packages from PyPI evaluate CEL; they disagree about numbers, `has()` and `exists()`.
#
# Seen:      2026-11-30 on Python 3.11; cel-expr-python 0.1.3 (Google's binding of cel-cpp), cel-python 0.5.0 (pure
#            Python), common-expression-language 0.10.0 (binding of cel-rust).
# Guess:     CEL has one definition and a conformance suite, so a condition over JSON can move from one to another.
# Happens:   a JSON integer compared with 1.0 or 1.5 is an error in cel-python alone. Google's takes `data.n < 1.5` but
#            refuses to compile `1 < 1.5`. `has(data.owner.mail)` without an owner is false in cel-python and an error
#            in the others, as the definition asks. `exists()` over a list with an incomplete entry is true for two; for
#            the third it depends on whether the incomplete entry stands before or behind the one that matches.
# Who:       anybody who picks a CEL package by its name, or checks rules in CI with another one than runs them.
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq cel-expr-python==0.1.3 cel-python==0.5.0 common-expression-language==0.10.0

cat > "$tmp/look.py" <<'PY'
import cel
import celpy
from cel_expr_python import cel as google

CASES = (
    ("data.n == 1.0", {"n": 1}),
    ("data.n < 1.5", {"n": 1}),
    ("1 < 1.5", {}),
    ("data.n in [1, 2]", {"n": 2.0}),
    ("has(data.owner)", {}),
    ("has(data.owner.mail)", {}),
    ("data.alerts.exists(a, a.level > 3)", {"alerts": [{"level": 5}, {}]}),
    ("data.alerts.exists(a, a.level > 3)", {"alerts": [{}, {"level": 5}]}),
    ("data.alerts.all(a, a.level > 3)", {"alerts": [{}, {"level": 1}]}),
)


def cel_expr_python(text):
    kinds = google.Type
    environment = google.NewEnv(variables={"data": kinds.Map(kinds.STRING, kinds.DYN)})
    expression = environment.compile(text)

    def evaluate(data):
        result = expression.eval(environment.Activation({"data": data}))
        if result.type().name() == "ERROR":
            raise ValueError(result.value())
        return result.value()

    return evaluate


def cel_python(text):
    environment = celpy.Environment()
    program = environment.program(environment.compile(text))
    return lambda data: bool(program.evaluate({"data": celpy.json_to_cel(data)}))


def common_expression_language(text):
    program = cel.compile(text)
    return lambda data: program.execute({"data": data})


def said(package, text, data):
    try:
        evaluate = package(text)
    except Exception:
        return "refused"
    try:
        return str(evaluate(data)).lower()
    except Exception:
        return "error"


packages = (cel_expr_python, cel_python, common_expression_language)
print(f"{'':<35}{'data':<36}", *(f"{package.__name__:<16}" for package in packages), sep="")
for text, data in CASES:
    print(f"{text:<35}{data!s:<36}", *(f"{said(package, text, data):<16}" for package in packages), sep="")
PY

"$tmp/venv/bin/python" "$tmp/look.py" | sed 's/ *$//' | tee "$tmp/seen"

diff -u - "$tmp/seen" <<'EXPECTED' || { echo "no longer as it was seen"; exit 1; }
                                   data                                cel_expr_python cel_python      common_expression_language
data.n == 1.0                      {'n': 1}                            true            error           true
data.n < 1.5                       {'n': 1}                            true            error           true
1 < 1.5                            {}                                  refused         error           true
data.n in [1, 2]                   {'n': 2.0}                          true            error           true
has(data.owner)                    {}                                  false           false           false
has(data.owner.mail)               {}                                  error           false           error
data.alerts.exists(a, a.level > 3) {'alerts': [{'level': 5}, {}]}      true            true            true
data.alerts.exists(a, a.level > 3) {'alerts': [{}, {'level': 5}]}      true            true            error
data.alerts.all(a, a.level > 3)    {'alerts': [{}, {'level': 1}]}      false           false           error
EXPECTED
echo "as seen on 2026-11-30"
