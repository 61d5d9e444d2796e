"""The conformance suite: what an administrator of the VergeOS Task Engine was promised, shown one by one.

Each requirement of its two documentation pages has a number, and each number has tests here, named by it
(`test_r18_…`). They know nothing of the program's inside: a real `hookd run` process is driven from outside
(configuration files, the `hookd` command, HTTP on its listeners), and what counts is what a real receiver got, as
bytes on a socket.

`tests/kit/stage.py` is what they stand on: one daemon, one receiver, one directory. Tests share a daemon where they can
(a configuration of many webhooks, one path of the receiver for each row), so that the folder runs within a minute.

Where the pages and hookd's own contract differ (defaults of timeout and retries, for one), the contract counts.
"""
