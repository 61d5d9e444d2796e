import socket
import ssl
import time

import pytest

from hookd.domain.text import (
    counted,
    did_you_mean,
    error_text,
    host_and_port,
    json_escape,
    listed,
    near,
    printable,
    quoted,
    shown,
)


def _tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] {reason} (_ssl.c:1000)")
    error.library, error.reason = "SSL", reason
    return error


def _certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] x (_ssl.c:1000)")
    error.library, error.verify_message = "SSL", "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("web-01 é 漢 😀", "web-01 é 漢 😀"),
        ("a\nb\r\x1b[31m", r"a\nb\r\x1b[31m"),
        ("\u202etxt", r"\u202etxt"),
        ("\ud800", r"\ud800"),
        ("x" * 61, "x" * 60 + "…"),
    ],
)
def test_foreign_text_is_shown_on_one_short_line(text: str, line: str) -> None:
    assert shown(text) == line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(98, "error while attempting to bind on address ('::1', 80, 0, 0): x"),
            "Address already in use",
        ),
        (
            OSError("Multiple exceptions: [Errno 111] x, [Errno 101] y, [Errno 111] z"),
            "Connection refused; Network is unreachable",
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError("AF_UNIX path too long"), "the path of a Unix socket has at most 107 bytes"),
        (OSError(), "OSError"),
        (_certificate_error(), "its certificate was refused: self-signed certificate"),
        (_tls_error("WRONG_VERSION_NUMBER"), "wrong version number"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:1000)"), "unknown reason"),
    ],
)
def test_errors_are_told_in_the_words_of_the_system(error: Exception, said: str) -> None:
    assert error_text(error) == said


@pytest.mark.parametrize(
    ("host", "written"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("a.example", "a.example:80")]
)
def test_an_ipv6_address_stands_in_brackets(host: str, written: str) -> None:
    assert host_and_port(host, 80) == written


def test_a_limit_may_be_given() -> None:
    assert shown("abcdef", 3) == "abc…"


def test_an_escape_may_be_given() -> None:
    assert printable("a\nb\x1b[31m\u202e\U000e0001", json_escape) == "a\\u000ab\\u001b[31m\\u202e\\U000e0001"
    assert printable("a\tb", lambda _: "?") == "a?b"


def test_quoted_text_is_a_short_json_string() -> None:
    assert quoted('a "b"\n\x7f') == '"a \\"b\\"\\n\\u007f"'
    assert quoted("x" * 61) == '"' + "x" * 60 + '…"'


def test_the_near_choice_is_guessed_and_nothing_else() -> None:
    assert near("tpye", ("type", "event")) == ["type"]
    assert near("zzz", ("type", "event")) == []
    assert near("x" * 129, ("x" * 128,)) == []


@pytest.mark.parametrize("word", ["hook-0471", "hok-04711", "xook-04711", "hook-04711x", "HOOK-04711"])
def test_among_very_many_choices_a_misspelt_word_is_compared_with_few(word: str) -> None:
    names = [f"hook-{number:05}" for number in range(10_000)]
    began = time.process_time()
    assert near(word, names, most=3)
    assert time.process_time() - began < 0.1  # all of them take twice as long


def test_case_does_not_count_and_both_spellings_are_near() -> None:
    assert near("OPS", ("ops", "Ops", "other"), most=2) == ["ops", "Ops"]
    assert near("OPS", ("ops", "Ops", "other")) == ["ops"]


def test_as_many_choices_as_asked_for_are_given_the_nearest_first() -> None:
    names = ("ops-slack", "ops-mail", "billing")
    assert near("ops-slck", names, most=3, cutoff=0.5) == ["ops-slack", "ops-mail"]
    assert near("ops-slck", names, most=3, cutoff=0.9) == ["ops-slack"]


def test_a_guess_is_a_clause_or_nothing() -> None:
    assert did_you_mean("tpye", ("type", "event")) == '; did you mean "type"?'
    assert did_you_mean("zzz", ("type", "event")) == ""


def test_a_number_agrees_with_its_noun() -> None:
    assert (counted(1, "event"), counted(2, "event")) == ("1 event", "2 events")
    assert counted(0, "delivery waits", "deliveries wait") == "0 deliveries wait"


def test_a_long_list_is_cut_and_counted() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a", "b", "c"], most=1) == "a and 2 more"


def test_an_error_has_a_text_that_is_printable() -> None:
    assert (
        error_text(FileNotFoundError(2, "No such file or directory", "a\nb")) == "No such file or directory"
    )
    assert error_text(OSError("odd\x1b")) == r"odd\x1b"
    assert error_text(TimeoutError()) == "TimeoutError"
