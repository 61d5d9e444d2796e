"""The spool: files with events that programs left while hookd did not answer (spec 11).

`reader` takes them in, `content` reads one, `spool_files` moves and removes them, `spool_lock` lets one hookd do so,
`rejected_directory` keeps `rejected/` hookd's own.
"""
