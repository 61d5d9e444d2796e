"""`hookd help`: prints a page of the documentation, a command's help, or a man page.

Must never: need a network, or talk to the daemon.
"""

import argparse

from hookd.cli.failure import Failure
from hookd.cli.manual.man_pages import MAN_PAGES, man_page
from hookd.cli.options import Parser, text

DESCRIPTION = """Print a page of the documentation, or the help of a command. Without TOPIC, list what there is.

With --man, print a man page, made from this version's commands and keys, for `man -l` or for a directory of man
pages."""
EXAMPLE = """hookd help delivery
  hookd help emit
  hookd help --man hookd.1 > /usr/local/share/man/man1/hookd.1"""


def arguments(parser: Parser) -> None:
    """Take a topic, or a man page."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("topic", metavar="TOPIC", nargs="?", type=text, help="a page, or a command")
    which.add_argument("--man", choices=MAN_PAGES, help="print this man page: %(choices)s")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    from hookd.cli.main import COMMANDS, parser_of
    from hookd.cli.manual.topics import page, topics

    if options.man:
        print(man_page(options.man, COMMANDS, parser_of), end="")
    elif options.topic is None:
        print(_listing(topics()))
    elif options.topic in COMMANDS:
        print(parser_of(options.topic).format_help(), end="")
    elif options.topic in topics():
        print(page(options.topic), end="")
    else:
        raise _unknown(options.topic, [*topics(), *COMMANDS])
    return 0


def _listing(topics: dict[str, str]) -> str:
    width = max(map(len, topics))
    lines = (f"  {name:<{width}}  {about}" for name, about in topics.items())
    return "\n".join(
        ["topics:", *lines, "", "`hookd help TOPIC` prints one, `hookd help COMMAND` a command's help."]
    )


def _unknown(word: str, choices: list[str]) -> Failure:
    from hookd.domain.text import did_you_mean, quoted

    return Failure(
        f"there is no page or command {quoted(word)}{did_you_mean(word, choices)}",
        "`hookd help` lists the pages, `hookd --help` the commands",
    )
