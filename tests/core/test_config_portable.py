"""A portable load: the same on a machine that has neither the secrets nor the certificates (spec 8, `test`)."""

import os
from pathlib import Path

import pytest

from hookd import config
from hookd.config import Loaded
from hookd.config.generation import Generation
from hookd.domain.definitions import Config, Tls
from hookd.domain.events import Event
from hookd.dryrun.explain import explain

CONFIG = """
daemon:
  listen:
    - {unix: s, group: no-such-group}
    - {http: "0.0.0.0:1", tokens: [{file: my token}], tls: {cert: nope.pem}}
webhooks:
  w:
    url: {env: PORTABLE_URL}
    auth: {type: basic, username: u, password: {file: secret/pw}}
    headers: {X-Key: {credential: key}, X-Both: [{env: A}, plain]}
    signing: {secrets: [{env: NEW}, {credential: old}]}
    tls: {ca: none.pem, cert: a.pem, key: b.pem}
  apikey: {url: "http://h/", auth: {type: apikey, key: {env: K}, prefix: "Key "}}
  bearer: {url: "http://h/", auth: {type: bearer, token: {env: T}}}
  literal: {url: "http://h/", auth: {type: basic, username: u, password: p}}
tasks: {t: {webhook: w}}
"""


def portable(path: Path, **env: str) -> Loaded:
    return config.load(path, env=env, portable=True)


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    (tmp_path / "hookd.yaml").write_text(CONFIG)
    found = portable(tmp_path / "hookd.yaml")
    assert found.config is not None, [str(diagnostic) for diagnostic in found.diagnostics]
    return found.config


def values(loaded: Config, webhook: str, header: str) -> list[str]:
    return [value.value for name, value in loaded.webhooks[webhook].headers if name == header]


def test_a_reference_stands_for_itself(loaded: Config) -> None:
    assert loaded.webhooks["w"].url.value == "env:PORTABLE_URL"
    assert loaded.webhooks["w"].url.reference == "env PORTABLE_URL"
    assert values(loaded, "w", "Authorization") == ["Basic u:file:secret/pw"]
    assert values(loaded, "w", "X-Key") == ["credential:key"]
    assert values(loaded, "w", "X-Both") == ["env:A", "plain"]
    assert values(loaded, "apikey", "X-API-Key") == ["Key env:K"]
    assert values(loaded, "bearer", "Authorization") == ["Bearer env:T"]
    assert values(loaded, "literal", "Authorization") == ["Basic dTpw"]
    assert loaded.webhooks["w"].tls == Tls()
    assert loaded.sources == ()


def test_what_this_machine_has_makes_no_difference(
    loaded: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"PORTABLE_URL": "http://s3cret/", "A": "s3cret", "TZ": "Asia/Tokyo", "CREDENTIALS_DIRECTORY": "/"}
    assert portable(tmp_path / "hookd.yaml", **env).config == loaded
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert config.isolated_load(tmp_path / "hookd.yaml", portable=True).config == loaded
    assert loaded.daemon.timezone == "UTC"


def test_a_load_is_not_portable_unless_it_is_asked_to_be(tmp_path: Path) -> None:
    (tmp_path / "hookd.yaml").write_text(CONFIG)
    told = [
        str(diagnostic)
        for diagnostic in config.load(tmp_path / "hookd.yaml", env=dict(os.environ)).diagnostics
    ]
    assert any("the environment variable PORTABLE_URL is not set" in line for line in told)
    assert any("no-such-group" in line for line in told)
    assert any("the file none.pem does not exist" in line for line in told)


def test_everything_else_is_checked_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hookd.yaml").write_text(
        "webhooks: {w: {url: {env: ''}, timeout: 1}, x: {url: 'ftp://h'}}\ntasks: {t: {webhook: v}}\n"
    )
    assert [
        str(diagnostic).partition(": ")[2] for diagnostic in portable(Path("hookd.yaml")).diagnostics
    ] == [
        "webhooks.w.url.env: must be the name of an environment variable, not empty text",
        "webhooks.w.timeout: must be a duration from 3 to 120 seconds, not 1",
        "webhooks.x.url: the URL must begin with http:// or https://",
        'tasks.t.webhook: there is no webhook "v" (webhooks: w, x)',
    ]


def test_tests_are_no_part_of_the_config(tmp_path: Path) -> None:
    (tmp_path / "hookd.yaml").write_text("webhooks: {}\n")
    before = config.tree_hash(tmp_path), config.tree_hash(tmp_path / "hookd.yaml")
    (tmp_path / "hookd.test.yaml").write_text("cases: nonsense\n")
    assert (config.tree_hash(tmp_path), config.tree_hash(tmp_path / "hookd.yaml")) == before
    assert portable(tmp_path).config is not None


def test_any_path_may_stand_in_for_a_url(tmp_path: Path) -> None:
    text = "webhooks: {w: {url: {file: '//[x'}}}\ntasks: {t: {webhook: w}}\n"
    (tmp_path / "hookd.yaml").write_text(text + "events: {e: {type: a, event: b, task: t}}\n")
    found = portable(tmp_path / "hookd.yaml").config
    assert found is not None
    generation = Generation.of(found, number=1, now=0)
    [request] = explain(Event("i", type="a", event="b"), generation, now=0, random=0).requests
    assert request.request.url == "file://[x"


def test_where_a_relative_socket_will_lie_is_not_known(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    path = deep / "hookd.yaml"
    path.write_text("daemon: {listen: [{unix: h.sock}]}\n")
    assert portable(path).config is not None
    assert config.load(path, env={}).config is None
    path.write_text(f"daemon: {{listen: [{{unix: /{'x' * 107}}}]}}\n")
    [diagnostic] = portable(path).diagnostics
    assert diagnostic.message == "the path of a socket has at most 107 bytes, this one 108"
