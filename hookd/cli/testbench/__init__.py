"""Things to try hookd with: the receiver of `hookd receive`, and the stage of `hookd demo`."""
