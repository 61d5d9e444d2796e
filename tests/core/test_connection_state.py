"""The table of a connection's states: every pair of state and input, and the picture of it in the module's text."""

from dataclasses import fields

import pytest

from hookd.server import connection_state
from hookd.server.connection_state import (
    BUSY,
    DEADLINES,
    OUTSIDE,
    TRANSITIONS,
    ConnectionInput,
    ConnectionState,
    IllegalTransition,
    next_state,
)
from hookd.server.limits import Limits


@pytest.mark.parametrize("state", ConnectionState)
@pytest.mark.parametrize("given", ConnectionInput)
def test_every_pair_leads_to_a_state_or_is_refused_by_name(
    state: ConnectionState, given: ConnectionInput
) -> None:
    if given in TRANSITIONS[state]:
        assert next_state(state, given) is TRANSITIONS[state][given]
        return
    assert given not in OUTSIDE, "what clients, the network and the listener do is legal at any time"
    with pytest.raises(
        IllegalTransition, match=f"a connection in the state {state} cannot have the input {given}"
    ):
        next_state(state, given)


def reached(start: ConnectionState) -> set[ConnectionState]:
    found, todo = {start}, [start]
    while todo:
        new = set(TRANSITIONS[todo.pop()].values()) - found
        found |= new
        todo += new
    return found


@pytest.mark.parametrize("state", ConnectionState)
def test_every_state_is_reached_and_ends(state: ConnectionState) -> None:
    assert state in reached(ConnectionState.HEAD)
    assert ConnectionState.CLOSED in reached(state)


@pytest.mark.parametrize("state", ConnectionState)
def test_a_lost_connection_is_closed_once_nothing_is_served(state: ConnectionState) -> None:
    lost = next_state(state, ConnectionInput.LOST)
    assert lost is (ConnectionState.ABANDONED if state in BUSY else ConnectionState.CLOSED)
    assert next_state(ConnectionState.ABANDONED, ConnectionInput.SERVED) is ConnectionState.CLOSED


def test_what_is_served_may_end_at_any_time() -> None:
    assert {state for state in ConnectionState if ConnectionInput.SERVED in TRANSITIONS[state]} == BUSY | {
        ConnectionState.LINGERING,
        ConnectionState.CLOSING,
    }


def test_every_deadline_is_a_limit() -> None:
    assert DEADLINES.keys() == set(ConnectionState)
    assert set(DEADLINES.values()) - {None} == {
        each.name for each in fields(Limits) if each.name.endswith("_s") and each.name != "sweep_s"
    }


def picture() -> dict[str, tuple[str, set[str]]]:
    """State, deadline and successors, as the module's text draws them."""
    rows = [line for line in str(connection_state.__doc__).splitlines() if line.startswith("    ")]
    begin, limit, then = (rows[0].index(word) for word in ("waits for", "at most", "then"))
    drawn = [row for row in rows[1:] if "─▶" not in row]
    return {row[:begin].strip(): (row[limit:then].strip(), set(row[then:].split()) - {"-"}) for row in drawn}


def test_the_picture_shows_the_table() -> None:
    assert picture() == {
        state.name: (
            DEADLINES[state] or "-",
            {after.name for after in TRANSITIONS[state].values() if after is not state},
        )
        for state in ConnectionState
    }
