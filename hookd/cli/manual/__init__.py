"""The documentation that hookd carries: pages, the commands and the configuration's keys as values, man pages."""
