"""The command line: a module and a settings class for each mode."""
