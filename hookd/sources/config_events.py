"""Emits operator events about the configuration: hookd has started with one, one was applied, one was rejected.

Must never: load or judge a configuration.
"""

import socket

from hookd import __version__
from hookd.config.generation import CurrentConfig
from hookd.domain.operator_events import ConfigApplied, ConfigRejected, DaemonStarted, Emit
from hookd.domain.reload_result import ReloadResult


class ConfigEvents:
    """Follows the reloads of one daemon."""

    def __init__(self, current_config: CurrentConfig, emit: Emit) -> None:
        self._current_config = current_config
        self._emit = emit
        self._number = current_config.generation.number
        self._was_rejected = False

    def started(self) -> None:
        """Hookd is ready."""
        config = self._current_config.generation.config
        self._emit(DaemonStarted(socket.gethostname(), __version__, config.path, config.hash))

    def reloaded(self, result: ReloadResult) -> None:
        """A reload has ended; one that changes nothing is no event, unless the files were rejected before."""
        generation = self._current_config.generation
        config = generation.config
        if not result.ok:
            self._emit(ConfigRejected(config.path, result.faults))
        elif self._was_rejected or generation.number != self._number:
            self._emit(
                ConfigApplied(
                    config.path, generation.number, config.hash, result.changes, result.restart_needed
                )
            )
        self._number, self._was_rejected = generation.number, not result.ok
