"""Every rule of the configuration, broken: `tests/configs/bad/NNN-name.yaml` and its exact diagnostics."""

from pathlib import Path

import pytest

from hookd import config
from hookd.config import Severity

BAD = Path(__file__).parents[1] / "configs" / "bad"
ENV = {
    "EMPTY": "",
    "TABBED": "s3cret\ts3cret",
    "WITH_BOM": "\ufeffs3cret",
    "PAIR": "a:s3cret",
    "SECRET": "s3cret",
    "SPACED": "s3 cret",
    "BROKEN": "s3cret\r\nX-Evil: 1",
    "NOT_BASE64": "whsec_s3cret*",
    "WORD": "Bearer",
    "SHORT": "whsec_c2hvcnQ=",
    "URL_SAFE": "v1,whsec_s3cret-_s3cret-_s3cret-_s3cret-_",
    "BEARER": "Bearer s3crets3crets3crets3cret",
    "WRAPPED": "Signing secret: whsec_s3cret",
    "PRIVATE": "whsk_s3crets3crets3crets3crets3crets3cret",
}
CASES = sorted(path.stem for path in BAD.glob("*.error"))


def diagnostics_of(case: str) -> str:
    single = Path(f"{case}.yaml")
    loaded = config.load(single if single.exists() else Path(case), env=ENV)
    assert loaded.config is None
    assert all(diagnostic.severity is Severity.ERROR for diagnostic in loaded.diagnostics)
    return "".join(f"{diagnostic}\n" for diagnostic in loaded.diagnostics)


@pytest.mark.parametrize("case", CASES)
def test_says_exactly_what_is_wrong(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    assert diagnostics_of(case) == Path(f"{case}.error").read_text(encoding="utf-8")


def test_every_bad_config_has_its_expected_text() -> None:
    configs = {path.name.removesuffix(".yaml") for path in BAD.iterdir() if path.suffix != ".error"}
    assert configs == set(CASES)
    assert len(CASES) >= 100


def test_no_message_repeats_a_secret() -> None:
    texts = {case: (BAD / f"{case}.error").read_text(encoding="utf-8") for case in CASES}
    secrets = ("s3cret", "s3 cret", "271828", "c2hvcnQ")
    assert [case for case, text in texts.items() if any(secret in text for secret in secrets)] == []
