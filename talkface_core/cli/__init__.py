"""The command line: one module per command. torch is imported when a command runs, so that help comes at once."""
