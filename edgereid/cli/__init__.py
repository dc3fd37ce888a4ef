"""The command line: one file a command; a command turns flags into options and calls one function."""
