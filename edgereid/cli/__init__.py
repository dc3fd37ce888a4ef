"""The command line: one file a command, which turns flags into options and calls one function."""
