"""The command line: parser and verbs."""
