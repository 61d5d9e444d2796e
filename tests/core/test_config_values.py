"""The small languages inside the configuration: durations, sizes, rates, URLs, headers, scalars, places."""

import base64
import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from hookd import config
from hookd.config import loader
from hookd.config.build.headers import Headers, body_format, name_fault, value_fault
from hookd.config.build.units import parse_rate, parse_size
from hookd.config.build.url import url_fault
from hookd.config.schema import Validators
from hookd.config.yaml.diagnostics import Diagnostic, Severity, dotted, listed, shown_path
from hookd.config.yaml.files import Unreadable, read_regular
from hookd.config.yaml.tree import parse
from hookd.domain.definitions import RateLimit, Secret
from hookd.domain.durations import parse_duration
from hookd.domain.message_templates import BodyFormat
from hookd.domain.text import quoted


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (0, 0),
        (1.5, 1.5),
        ("0s", 0),
        ("250ms", 0.25),
        ("10s", 10),
        ("1.5m", 90),
        ("2h", 7200),
        ("7d", 604800),
        ("2w", 1209600),
    ],
)
def test_durations(text: float | str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["10", "10 s", "-1s", "1y", "01s", "10s\n", "1e3s", ".5s", "٣s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [(1, 1), ("64KiB", 65536), ("1MiB", 1 << 20), ("2GiB", 2 << 30)])
def test_sizes(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["1", "1KB", "0KiB", "1.5MiB", "1MiB\n", "1kib"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_size(text)


def test_rates() -> None:
    assert [parse_rate(text) for text in ("20/s", "3/m", "1/h")] == [
        RateLimit(20, 1),
        RateLimit(3, 60),
        RateLimit(1, 3600),
    ]
    for text in ("20", "0/s", "2/d", "20/s\n"):
        with pytest.raises(ValueError, match=text):
            parse_rate(text)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "HTTPS://Hooks.Example.COM:65535/a%20b/../c//d?x=1&y={z}|[0]%zz",
        "http://10.0.0.1:1/",
        "http://[2001:db8::1]:8080/",
        "http://[fe80::1%25eth0]/",
        "http://under_score.example./",
        "https://bücher.example/",
        "http://xn--bcher-kva.example/",
        "http://h.example/@user:pass@",
        "http://h.example:/",
    ],
)
def test_urls(url: str) -> None:
    assert url_fault(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "http:///x",
        "//h.example/",
        "h.example",
        "file:///etc/passwd",
        "http://h.example/\n",
        "http://h.example/\x7f",
        "http://h.example/\u200b",
        "http://h.example\\@evil.example/",
        "http://user@h.example/",
        "http://@h.example/",
        "http://h.example/#",
        "http://h.example:0/",
        "http://h.example:65536/",
        "http://h.example:http/",
        "http://h..example/",
        "http://-h.example/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a.b." * 70 + "example/",
        "http://h!.example/",
        "http://[::1/",
        "http://[v1.x]/",
        "http://" + "ü" * 64 + ".example/",
        "http://h.example/ü",
        "http://h.example/${NAME}",
    ],
)
def test_what_is_no_url(url: str) -> None:
    assert url_fault(url)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("application/json text/json APPLICATION/JSON;charset=utf-8 application/x-json", BodyFormat.JSON),
        ("application/cloudevents+json application/x-amz-json-1.1", BodyFormat.JSON),
        (
            "application/x-ndjson application/jsonl application/vnd.elasticsearch+x-ndjson",
            BodyFormat.JSON_LINES,
        ),
        ("application/json-seq application/geo+json-seq", BodyFormat.JSON_SEQUENCE),
        (
            "application/x-www-form-urlencoded application/X-WWW-Form-Urlencoded;charset=utf-8",
            BodyFormat.FORM,
        ),
        ("text/xml application/xml application/soap+xml text/html application/xhtml+xml", BodyFormat.MARKUP),
        (
            "text/plain text/markdown text/csv application/yaml multipart/form-data +json json",
            BodyFormat.TEXT,
        ),
    ],
)
def test_what_a_content_type_makes_of_messages(types: str, expected: BodyFormat) -> None:
    for each in types.split():
        value = each.replace(";", " ; ")
        assert body_format((("X-Type", Secret("a/b")), ("content-TYPE", Secret(value)))) is expected
    assert body_format((("X-Type", Secret("application/json")),)) is BodyFormat.UNTYPED


def test_the_users_header_replaces_the_built_in_one() -> None:
    auth = ("Authorization", Secret("Bearer built-in"))
    mine = (("X-A", Secret("mine")), ("content-type", Secret("text/plain")))
    assert Headers(mine).with_defaults(auth) == (*mine, auth)
    assert [name for name, _ in Headers(removed=True).with_defaults(auth)] == ["Authorization"]
    assert [name for name, _ in Headers().with_defaults(auth)] == ["Content-Type", "Authorization"]
    assert [name for name, _ in Headers().with_defaults(None)] == ["Content-Type"]


def test_header_names_and_values() -> None:
    assert name_fault("X-Route_1.~") is None
    assert all(map(name_fault, ("", "a b", "a:", "ä", "a\n", "Host", "HOST", "webhook-ID", "content-length")))
    assert value_fault("a\tb é ÿ") is None
    assert all(map(value_fault, ("a\rb", "a\nb", "a\0b", "\x7f", "\x85")))


def headers_of(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    (tmp_path / "x.yaml").write_text(
        f"webhooks:\n  a:\n    url: http://h/\n    headers: {text}\n", encoding="utf-8"
    )
    found = config.load(tmp_path / "x.yaml", env={})
    assert found.config is not None, [str(diagnostic) for diagnostic in found.diagnostics]
    return [(name, secret.value) for name, secret in found.config.webhooks["a"].headers]


@pytest.mark.parametrize(
    ("mapping", "block"),
    [
        ("{X-A: a b, X-B: [1x, 2x]}", '"X-A:   a b  \\r\\n\\nX-B: 1x\\n \\nX-B:2x"'),
        ("{Content-Type: null, X-A: 'a:b'}", '"Content-Type:\\nX-A: a:b"'),
        ("{content-type: text/plain}", '"content-type: text/plain"'),
        ("{}", '""'),
    ],
)
def test_both_forms_of_headers_mean_the_same(mapping: str, block: str, tmp_path: Path) -> None:
    assert headers_of(tmp_path, mapping) == headers_of(tmp_path, block)


@pytest.mark.parametrize(
    "text", ["$SLACK_TOKEN", "Bearer $token", "{{ name }}", "x-{{A}}", "$(cat key)", "a:$KEY2"]
)
def test_what_other_tools_fill_is_warned_of(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    places = (
        "    headers: {X-A: @}\n    signing: {secret: @}\n    auth: {type: apikey, key: @}\n",
        "    headers: |\n      X-B: b\n      X-A: @@\n",
    )
    for written, warned in zip(places, (3, 1), strict=True):
        quoted_text = written.replace("@@", text).replace("@", f'"{text}"')
        path.write_text(f"webhooks:\n  a:\n    url: http://h/\n{quoted_text}", encoding="utf-8")
        found = config.load(path, env={})
        assert found.config is not None
        assert ["looks like a variable" in one.message for one in found.diagnostics] == [True] * warned
    assert [(one.line, one.severity) for one in found.diagnostics] == [(6, Severity.WARNING)]


@pytest.mark.parametrize("text", ["pa$Word", "$2y$10$abc", "a{b}c", "5$", "$$", "US$5", "$(x"])
def test_a_text_with_dollars_and_braces_is_a_text(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        f"webhooks:\n  a: {{url: http://h/, headers: {{X-A: '{text}'}}, signing: {{secret: '{text}'}}}}\n",
        encoding="utf-8",
    )
    found = config.load(path, env={})
    assert found.config is not None
    assert found.diagnostics == ()


PARSED = (
    "most libraries that verify the signing style standard then parse the body as JSON (standardwebhooks, svix 1) "
    "and fail on {}; send JSON, or let the receiver verify with one that does not parse"
)
BY_TYPE = ("3:15", PARSED.format("a body that is not JSON, as by this webhook's Content-Type"))
EMPTY = ("3:15", PARSED.format("the empty body of a GET"))
BY_TEXT = ("4:34", PARSED.format("this text, which is not JSON"))


@pytest.mark.parametrize(
    ("keys", "message", "warned"),
    [
        ("headers: {}", "{a: b}", None),
        ("headers: {Content-Type: application/vnd.x+json}", "{a: b}", None),
        ("headers: {Content-Type: text/plain}", "hi", BY_TYPE),
        ("headers: {Content-Type: application/x-ndjson}", "[{a: b}]", BY_TYPE),
        ("headers: {Content-Type: application/x-www-form-urlencoded}", "{a: b}", BY_TYPE),
        ("headers: {Content-Type: application/xml}", "<a/>", BY_TYPE),
        ("headers: {Content-Type: null}", "{a: b}", None),
        ("headers: {Content-Type: null}", """'{"a": "${NAME}"}'""", None),
        ("headers: {Content-Type: null}", "'a ${NAME}'", BY_TEXT),
        ("method: GET", "{a: b}", EMPTY),
        ("method: GET, headers: {Content-Type: null}", "{a: b}", EMPTY),
        ("method: DELETE", "{a: b}", None),
    ],
)
def test_signed_bodies_that_libraries_fail_on_are_warned_of(
    keys: str, message: str, warned: tuple[str, str] | None, tmp_path: Path
) -> None:
    path = tmp_path / "x.yaml"
    for style, expected in (("standard", warned), ("github", None)):
        path.write_text(
            "webhooks:\n  a:\n"
            f"    {{signing: {{secret: any text, style: {style}}}, {keys}, url: 'http://h/'}}\n"
            f"tasks: {{t: {{webhook: a, message: {message}}}, default: {{webhook: a}}}}\n"
        )
        loaded = config.load(path, env={})
        assert loaded.config is not None, loaded.diagnostics
        assert [one.severity for one in loaded.diagnostics] == [Severity.WARNING] * (expected is not None)
        for one in loaded.diagnostics:
            assert (f"{one.line}:{one.column}", one.message) == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("reference", ["{env: KEY}", "{file: key}", "{credential: key}"])
@pytest.mark.parametrize(
    "place",
    [
        "auth: {type: basic, username: u, password: %s}",
        "signing: {secret: %s}",
        "auth: {type: bearer, token: %s}",
        "auth: {type: apikey, key: %s}",
        "headers: {X-A: %s}",
    ],
)
def test_one_line_end_of_a_secret_is_cut(place: str, reference: str, end: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(f"webhooks:\n  a:\n    url: http://h/\n    {place % reference}\n")
    for text, warned in (("k3y", 0), ("k 3y ", 1), (" k3y", 1)):
        (tmp_path / "key").write_bytes((text + end).encode())
        env = {"KEY": text + end, "CREDENTIALS_DIRECTORY": str(tmp_path)}
        found = config.load(tmp_path / "x.yaml", env=env)
        assert found.config is not None
        assert ["begins or ends with a space" in one.message for one in found.diagnostics] == [True] * warned
        webhook = found.config.webhooks["a"]
        sent = webhook.signing.secrets[0].value if webhook.signing else webhook.headers[-1][1].value
        if sent.startswith("Basic "):
            sent = base64.b64decode(sent.removeprefix("Basic ")).decode()
        assert "\n" not in sent
        assert text.strip() in sent
    (tmp_path / "key").write_bytes(b"k3y\n\n")
    env = {"KEY": "k3y\n\n", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert "holds a line break" in str(config.load(tmp_path / "x.yaml", env=env).diagnostics[0])


def test_the_word_bearer_and_a_space_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "webhooks:\n  a: {url: http://h/, auth: {type: bearer, token: {env: WORD}}}\n"
    )
    found = config.load(tmp_path / "x.yaml", env={"WORD": "Bearer "})
    assert [one.message for one in found.diagnostics if one.severity is Severity.ERROR] == [
        "is the word Bearer without a token"
    ]


@pytest.mark.parametrize(
    ("username", "password", "pair", "reference"),
    [
        ('""', "p4ss", ":p4ss", "auth"),
        ("k3y", '""', "k3y:", "auth"),
        ("{env: K}", '""', "from-env:", "env K"),
        ("{env: K}", "{env: P}", "from-env:p:w", "env P"),
    ],
)
def test_one_part_of_basic_may_be_empty(
    username: str, password: str, pair: str, reference: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        f"webhooks:\n  a: {{url: http://h/, auth: {{type: basic, username: {username}, password: {password}}}}}\n"
    )
    found = config.load(path, env={"K": "from-env", "P": "p:w"})
    assert found.config is not None
    _, secret = found.config.webhooks["a"].headers[-1]
    assert (secret.value, secret.reference) == (
        f"Basic {base64.b64encode(pair.encode()).decode()}",
        reference,
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("1_000", 1000),
        ("-017", -15),
        ("0", 0),
        ("0b101", 5),
        ("+0xfF", 255),
        ("-1:30", -90),
        ("1:30.5", 90.5),
        ("1.5e+3", 1500.0),
        ("1e3", "1e3"),
        ("08", "08"),
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("=", "="),
        ("'<<'", "<<"),
        ("!!str 8080", "8080"),
        ("! 8080", "8080"),
        ('!!int "7"', 7),
        ('!!float "7"', 7.0),
        ('!!bool "on"', True),
        ('!!null ""', None),
        ('"on"', "on"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    tree = parse(f"a: {text}".encode())
    assert not tree.problems
    assert tree.root is not None
    found = tree.root.plain()["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        "-.inf",
        ".NaN",
        "1" * 65,
        "1" + "0" * 60 + ".0e+999",
        "!!int x",
        "!!float x",
        "!!bool x",
        "!!null x",
        "!!binary x",
    ],
)
def test_what_is_no_scalar(text: str) -> None:
    tree = parse(f"a: {text}".encode())
    assert len(tree.problems) == 1
    assert text.removeprefix("!!") not in tree.problems[0].message
    assert tree.root is not None
    assert tree.root.plain() == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("? [a]\n: b", "a key is text, not a mapping or a list"),
        ("? {a: b}\n: b", "a key is text, not a mapping or a list"),
        ("? \n: b", "a key is text, not empty"),
        ("~: b", 'a key is text; YAML reads ~ as null, so quote it: "~"'),
        ("1.5: b", 'a key is text; YAML reads 1.5 as the number 1.5, so quote it: "1.5"'),
        (
            "!x {a: b}",
            "a tag (!…) is not allowed; quote text that begins with !; a secret is written {env: NAME} or {file: PATH}",
        ),
        ("&a a: b\n*a : c", "stands here a second time; the first is in line 1"),
    ],
)
def test_odd_keys(text: str, message: str) -> None:
    assert [problem.message for problem in parse(text.encode()).problems] == [message]


def test_an_alias_may_be_a_key() -> None:
    tree = parse(b"a: &name b\n*name : c")
    assert tree.root is not None
    assert tree.root.plain() == {"a": "b", "b": "c"}


def test_a_broken_item_spoils_its_list_only() -> None:
    tree = parse(b"a: [1, !x 2]\nb: [3]")
    assert tree.root is not None
    assert tree.root.plain() == {"b": [3]}


def test_places() -> None:
    assert dotted(("webhooks", "ops-slack", "timeout")) == "webhooks.ops-slack.timeout"
    assert dotted(("tasks", "t", "triggers", 0, "type")) == "tasks.t.triggers[0].type"
    assert dotted(("webhooks", "my hook", "a.b", 'q"', "größe")) == 'webhooks."my hook"."a.b"."q\\"".größe'


def test_findings_as_lines() -> None:
    diagnostic = Diagnostic("x.yaml", 3, 5, "webhooks.a", Severity.ERROR, "url is missing")
    assert str(diagnostic) == "x.yaml:3:5: webhooks.a: url is missing"
    warning = Diagnostic("x.yaml", 3, 5, "webhooks.a", Severity.WARNING, "beware")
    assert str(warning) == "x.yaml:3:5: warning: webhooks.a: beware"


def test_what_is_shown_cannot_forge_lines_or_drive_a_terminal() -> None:
    assert listed(["a\nb\x1b[31m\u202e\U000e0001"]) == "a\\u000ab\\u001b[31m\\u202e\\U000e0001"
    assert quoted("a\nb") == '"a\\nb"'
    assert quoted("x" * 61) == '"' + "x" * 60 + '…"'
    assert listed([str(n) for n in range(25)], most=3) == "0, 1, 2, … (25 in all)"


def test_paths_are_shown_from_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "conf" / "a.yaml") == "conf/a.yaml"
    assert shown_path("./a\n.yaml") == "a\\u000a.yaml"
    assert shown_path("../a.yaml") == "../a.yaml"
    assert shown_path("/etc/hookd/hookd.yaml") == "/etc/hookd/hookd.yaml"
    assert shown_path(tmp_path) == str(tmp_path)


def test_a_path_with_a_nul_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="NUL"):
        read_regular(Path("a\0b"), 10)


def _paths(value: Any, steps: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield steps
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in inner:
        yield from _paths(child, (*steps, step))


def _with(tree: Any, steps: tuple[Any, ...], value: Any) -> Any:
    if not steps:
        return value
    changed = copy.deepcopy(tree)
    place = changed
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = value
    return changed


OTHERS = [-1.5, "x", None, True, [], {}, [1], {"a": 1}, "a\nb", 10**30]


@pytest.mark.parametrize(
    "value", [1, "${x", *(pytest.param(other, marks=pytest.mark.exhaustive) for other in OTHERS)], ids=repr
)
def test_any_value_at_any_place_is_judged(
    value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands wherever, the result is a configuration or diagnostics with places, never an exception."""
    monkeypatch.setattr(loader, "Validators", cache(Validators))  # made once for hundreds of loads
    every_key = Path(__file__).parents[1] / "configs" / "good" / "every-key.yaml"
    tree = yaml.safe_load(every_key.read_text(encoding="utf-8"))
    file = tmp_path / "hookd.yaml"
    fast = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    for steps in _paths(tree):
        file.write_text(yaml.dump(_with(tree, steps, value), Dumper=fast, sort_keys=False), encoding="utf-8")
        loaded = config.load(file, env={})
        assert loaded.config is not None or all(diagnostic.line for diagnostic in loaded.diagnostics)


def test_a_header_value_may_be_any_text_without_controls() -> None:
    assert all(value_fault(value) is None for value in ("", "a\tb", "ü", "€ ☃ 漢", "\U0001f600", "\xa0"))


def test_variables_of_other_tools_in_a_message_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "webhooks: {w: {url: http://h/}}\n"
        "tasks:\n"
        "  t:\n"
        "    webhook: w\n"
        "    message:\n"
        "      a: '{{ data.x | upper }} ${data.x} $5'\n"
        "      b: ['at $DATE', '{{ states }} $HOME $$DATE {{.NAME}}', 'at $data.list.0, not $.data.x or $database']\n"
    )
    found = config.load(tmp_path / "x.yaml", env={})
    assert [(one.line, one.where, one.message) for one in found.diagnostics] == [
        (
            6,
            "tasks.t.message.a",
            "{{ data.x | upper }} is sent as it stands; a variable is written ${data.x}",
        ),
        (7, "tasks.t.message.b[0]", "$DATE is sent as it stands; a variable is written ${DATE}"),
        (7, "tasks.t.message.b[1]", "{{.NAME}} is sent as it stands; a variable is written ${NAME}"),
        (
            7,
            "tasks.t.message.b[2]",
            "$data.list.0 is sent as it stands; a variable is written ${data.list.0}",
        ),
    ]
    assert {one.severity for one in found.diagnostics} == {Severity.WARNING}


BASE64 = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("secret", "secret_format", "warned"),
    [
        (BASE64, "auto", True),
        (f"v1,{BASE64}", "auto", True),
        ("ab" * 32, "auto", True),  # hex: the libraries decode it too
        (BASE64[:-4], "auto", False),  # below 24 bytes
        (f"{BASE64}-", "auto", False),
        (f"whsec_{BASE64}", "auto", False),
        (BASE64, "base64", False),
        (BASE64, "text", False),
    ],
)
def test_a_signing_secret_that_a_library_reads_otherwise_is_warned_of(
    secret: str, secret_format: str, *, warned: bool, tmp_path: Path
) -> None:
    signing = f"{{secret: {{env: S}}, secret_format: {secret_format}}}"
    (tmp_path / "x.yaml").write_text(f"webhooks: {{a: {{url: https://h.example/, signing: {signing}}}}}")
    found = config.load(tmp_path / "x.yaml", env={"S": secret})
    assert found.config is not None
    assert ["`secret_format: base64` for what they do" in one.message for one in found.diagnostics] == [
        True
    ] * warned
    assert all(secret[:20] not in str(one) for one in found.diagnostics)
    assert config.load(tmp_path / "x.yaml", env={}, portable=True).diagnostics == ()


QUOTES = "stands in quotes"
TOKEN = "no bearer token has"
OWN_NAME = "begins with the header's own name"


@pytest.mark.parametrize(
    ("keys", "value", "warned"),
    [
        ("auth: {type: bearer, token: @}", "abc.DEF-ghi_123~+/==", []),
        ("auth: {type: bearer, token: @}", "1|kKsLongStuff", []),
        ("auth: {type: bearer, token: @}", "token abc", [TOKEN]),
        ("auth: {type: bearer, token: @}", "Authorization: Bearer abc", [TOKEN]),
        ("auth: {type: bearer, token: @}", "abc # in the console", [TOKEN]),
        ("auth: {type: bearer, token: @}", '"abc"', [QUOTES]),
        ("auth: {type: bearer, token: @}", "“abc”", ["typeset quotes"]),
        ("auth: {type: bearer, token: @}", "TOKEN=abc", ["begins with NAME="]),
        ("auth: {type: basic, username: u, password: @}", "'p w'", [QUOTES]),
        ("auth: {type: basic, username: u, password: @}", "p'w\"", []),
        ("signing: {secret: @}", "export KEY=abc", ["begins with NAME="]),
        ("signing: {secret: @}", "ABCDEF==", []),
        ("url: @", "'http://h/'", [QUOTES]),
        ("auth: {type: apikey, key: @}", "X-API-Key: abc", [OWN_NAME]),
        ("auth: {type: apikey, header: Authorization, prefix: Token, key: @}", "abc", ['write "Token " for']),
        ("auth: {type: apikey, prefix: k_, key: @}", "abc", []),
        (
            "auth: {type: apikey, header: Authorization, prefix: 'GenieKey ', key: @}",
            "GenieKey abc",
            ["it is dropped"],
        ),
        ("headers: {Authorization: @}", "Authorization: Bearer abc", [OWN_NAME]),
        ("headers: {Authorization: @}", "Basic user:pass", ["is not base64 of user:password"]),
        ("headers: {Authorization: @}", "Basic dXNlcjpwYXNz", []),
        ("headers: {Content-Encoding: @}", "gzip", ["says that the body is encoded"]),
        ("headers: {Content-Type: @}", "text/plain; charset=iso-8859-1", ["names another charset"]),
        ("headers: {Content-Type: @}", 'text/plain; Charset="UTF-8"', []),
        ("headers: {Content-Type: @}", "multipart/form-data", ["names no boundary"]),
        ("headers: {Content-Type: @}", "multipart/form-data; boundary=x", []),
    ],
)
def test_credentials_and_headers_as_they_are_pasted_are_warned_of(
    keys: str, value: str, warned: list[str], tmp_path: Path
) -> None:
    url = "" if keys.startswith("url") else "url: http://h/, "
    (tmp_path / "x.yaml").write_text(f"webhooks: {{a: {{{url}{keys.replace('@', '{env: V}')}}}}}")
    found = config.load(tmp_path / "x.yaml", env={"V": value})
    warnings = [one.message for one in found.diagnostics if one.severity is Severity.WARNING]
    assert len(warnings) == len(warned), warnings
    assert all(part in message for part, message in zip(warned, warnings, strict=True)), warnings
    assert all(value not in str(one) for one in found.diagnostics)
    if "GenieKey abc" in value and found.config is not None:
        assert found.config.webhooks["a"].headers[-1][1].value == "GenieKey abc"


@pytest.mark.parametrize(
    ("key", "value", "warned"),
    [
        ("url", "https://h.example/bot<token>/send", "holds <, which no URL holds"),
        ("url", "https://h.example/{id}", "holds {, which no URL holds"),
        ("url", "https://h.example/100%/x", "holds a % that begins no percent-encoding"),
        ("url", "https://a.example/,https://b.example/", "holds a second URL"),
        ("url", "https://h.example/r?to=https://b.example/&x=%20", None),
        ("timezone", "EST", "is one offset all year, without daylight saving; write America/New_York"),
        ("timezone", "Etc/GMT+5", None),
        ("delivered", "7", "is 7 seconds, since it has no unit; write 7d where it is days"),
        ("delivered", "7s", None),
        ("delivered", "604800", None),
    ],
)
def test_what_is_pasted_and_means_something_else_is_warned_of(
    key: str, value: str, warned: str | None, tmp_path: Path
) -> None:
    given = {"url": "https://h.example/", "timezone": "UTC", "delivered": "1d"} | {key: value}
    (tmp_path / "x.yaml").write_text(
        "daemon: {{timezone: {timezone}, retention: {{delivered: {delivered}}}}}\n"
        "webhooks: {{a: {{url: '{url}'}}}}\n".format(**given)
    )
    found = config.load(tmp_path / "x.yaml", env={})
    assert found.config is not None, found.diagnostics
    assert len(found.diagnostics) == (warned is not None), found.diagnostics
    assert all((warned or "") in one.message for one in found.diagnostics)


MESSAGES = """
webhooks: {w: {url: https://h.example/}, x: {url: https://h.example/, headers: {Content-Type: text/plain}}}
tasks:
  pasted:
    webhook: w
    message:
      channel: #ops
      color: null
      version: 1.10
      price: 2.5
      lines: 'one\\ntwo'
      path: C:\\new
      regex: "\\\\n"
      alert: "{{ .CommonLabels.alertname }}"
      "on-${NAME}": {a$: 1, "$${b}": 2}
  inline:
    webhook: w
    message: {
      "text": "x", // a comment
    }
  json: {webhook: w, message: '{"text": "a\\nb"}'}
  plain: {webhook: x, message: 'a\\nb'}
""".replace("\\\\", "\\")


def test_what_is_pasted_into_a_message_and_sent_otherwise_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(MESSAGES)
    found = config.load(tmp_path / "x.yaml", env={})
    assert found.config is not None, found.diagnostics
    assert [
        (one.line, one.where.rpartition(".")[2], one.message.partition(";")[0]) for one in found.diagnostics
    ] == [
        (7, "channel", "nothing stands here, so null is sent"),
        (9, "version", "YAML reads 1.10 as the number 1.1"),
        (11, "lines", r"\n is sent as these two characters"),
        (14, "alert", "{{ .CommonLabels.alertname }} is sent as it stands"),
        (15, '"on-${NAME}"', "is sent as it stands: variables are not filled in keys"),
        (15, '"$${b}"', "is sent as it stands: variables are not filled in keys"),
        (19, '"// a comment"', "is sent as a key"),
        (20, '"// a comment"', "nothing stands here, so null is sent"),
        (22, "message", r"\n is sent as these two characters"),
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e3", "1.0e+3"),
        ("1E-7", "1.0e-7"),
        ("-2.5e10", "-2.5e+10"),
        ("0e0", "0.0e+0"),
        ("2.5e+3", None),
        ("12e", None),
    ],
)
def test_a_number_of_json_that_yaml_takes_for_text_is_warned_of(
    text: str, number: str | None, tmp_path: Path
) -> None:
    for written, expected in ((text, number), (f'"{text}"', None)):
        (tmp_path / "x.yaml").write_text(
            f"webhooks: {{w: {{url: https://h.example/}}}}\ntasks: {{t: {{webhook: w, message: {{n: {written}}}}}}}\n"
        )
        found = config.load(tmp_path / "x.yaml", env={})
        assert found.config is not None
        assert [one.message for one in found.diagnostics] == [
            f'YAML reads {text} as text, and "{text}" is sent; write {expected} for the number, or quote it'
        ] * (expected is not None)
    if number is not None:
        root = parse(f"n: {number}".encode()).root
        assert root is not None
        assert root.plain() == {"n": float(text)}


@pytest.mark.parametrize(
    ("word", "warned"),
    [("web-*", True), ("error|warning", True), ("^web", True), ("web.+", True), ("{{ x }}", True), ("US$", False),
     ("/dev/sda", False), ("a.b", False), ("C++", False), ("a, b", False)],
)  # fmt: skip
def test_what_looks_like_a_pattern_in_a_rule_is_warned_of(word: str, *, warned: bool, tmp_path: Path) -> None:
    for key in ("type", "event", "object", "tag"):
        rule = {"type": "t", "event": "e", "task": "t"} | {key: word}
        whole = {
            "webhooks": {"w": {"url": "https://h.example/"}}, "tasks": {"t": {"webhook": "w"}}, "events": {"e": rule}
        }  # fmt: skip
        (tmp_path / "x.yaml").write_text(json.dumps(whole))
        found = config.load(tmp_path / "x.yaml", env={})
        assert found.config is not None
        assert ["is compared exactly" in one.message for one in found.diagnostics] == [True] * warned


def test_addresses_that_are_never_called_are_warned_of(tmp_path: Path) -> None:
    text = "webhooks: {a: {url: 'http://169.254.169.254/x'}, b: {url: 'http://[fe80::1]:8/'}, c: {url: 'http://10.0.0.1/'}}"
    (tmp_path / "c.yaml").write_text(text)
    loaded = config.load(tmp_path / "c.yaml", env={})
    assert loaded.config is not None
    said = "the URL's host is a link-local or cloud metadata address, which hookd never calls"
    assert [(f.where, f.message) for f in loaded.diagnostics] == [
        ("webhooks.a.url", said),
        ("webhooks.b.url", said),
    ]


def test_a_rule_about_a_webhook_that_is_not_there_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("""\
webhooks: {ops: {url: "http://127.0.0.1:9/"}}
tasks:
  t:
    webhook: ops
    triggers:
      - {type: hookd.delivery, event: dead, object: opz}
      - {type: hookd.delivery, event: dead, object: ops}
      - {type: hookd.config, event: applied, object: /etc/hookd}
      - {type: vm, event: "on", object: web-01}
events:
  e: {type: hookd.webhook, event: parked, object: other, task: t}
""")
    loaded = config.load(tmp_path / "c.yaml", env={})
    assert loaded.config is not None
    assert [(f.where, f.message) for f in loaded.diagnostics] == [
        ("tasks.t.triggers[0].object", 'there is no webhook "opz"; did you mean "ops"? (webhooks: ops)'),
        ("events.e.object", 'there is no webhook "other" (webhooks: ops)'),
    ]


def test_a_credential_that_was_not_passed(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("webhooks: {w: {url: {credential: slack}}}")
    loaded = config.load(tmp_path / "c.yaml", env={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert [diagnostic.message for diagnostic in loaded.diagnostics] == [
        "the credential slack does not exist; add LoadCredential=slack:PATH to the unit, and restart it"
    ]


@pytest.mark.parametrize(
    ("listen", "warned"),
    [
        ('[{http: "127.0.0.1:1"}]', "find no listener that answers them"),
        ('[{http: "127.0.0.1:1"}, {http: "[::1]:1"}]', "find no listener that answers them"),
        ('[{http: "127.0.0.1:1", peers: []}]', ""),
        ('[{http: "127.0.0.1:1", tokens: [t]}, {http: "127.0.0.1:2"}]', ""),
        ('[{unix: a.sock, mode: "0666"}, {http: "127.0.0.1:1"}]', ""),
        ('[{unix: a.sock}, {http: "127.0.0.1:1"}]', "though unix:"),
        ("[{unix: a.sock, group: hookd-emit-none}]", "there is no group"),
    ],
)  # fmt: skip
def test_listeners_that_serve_less_than_one_may_expect_are_warned_of(
    listen: str, warned: str, tmp_path: Path
) -> None:
    (tmp_path / "hookd.yaml").write_text(
        f"daemon: {{listen: {listen}}}\nwebhooks: {{w: {{url: http://127.0.0.1:9/}}}}\n"
    )
    said = [str(found) for found in config.load(tmp_path / "hookd.yaml", env={}).diagnostics]
    assert len(said) == (1 if warned else 0), said
    assert all(warned in each for each in said)
