"""The HTTP application of spec sections 2 and 9, served alike on Unix sockets and TCP."""
