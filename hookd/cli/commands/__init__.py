"""One module a command; what each offers is said in `hookd.cli.main`."""
