"""The memory of a process that holds secrets is not for others of its user, nor for a core file."""

import subprocess
import sys

import pytest

CODE = """\
import os, resource, sys
from hookd.prctl import refuse_dumps
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
refuse_dumps({"HOOKD_DUMPABLE": sys.argv[1]})
from ctypes import CDLL
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
print(CDLL(None).prctl(3, 0, 0, 0, 0), hard == 0, len(os.listdir("/proc/self/fd")) > 3)
"""


@pytest.mark.parametrize(("word", "said"), [("", "0 True True"), ("0", "0 True True"), ("1", "1")])
def test_it_can_be_neither_traced_nor_dumped(word: str, said: str) -> None:
    """And it still sees its own descriptors."""
    done = subprocess.run([sys.executable, "-c", CODE, word], check=True, capture_output=True, text=True)
    assert done.stdout.startswith(said)
