"""Who has a function called by the store has it called once."""

import asyncio
from typing import cast

from hookd.domain.errors import StoreFailed
from hookd.store.sqlite.operations import Callback, Operation


def test_what_is_answered_is_not_refused_as_well() -> None:
    heard: list[object] = []
    operation = Operation(cast("asyncio.Future[object]", Callback(heard.append)))
    operation.result = "done"
    operation.resolve()
    operation.refuse(StoreFailed("the store has ended"))
    assert heard == ["done"]


def test_what_is_refused_is_not_answered_as_well() -> None:
    heard: list[object] = []
    operation = Operation(cast("asyncio.Future[object]", Callback(heard.append)))
    refusal = StoreFailed("the store has ended")
    operation.refuse(refusal)
    operation.resolve()
    assert heard == [refusal]
