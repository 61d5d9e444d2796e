"""The spool: files with events that programs left while hookd did not answer (spec 11).

`reader` takes them in, `content` reads one, `files` moves and removes them, `lock` lets one hookd do so.
"""
