"""The command line: a module and a settings class a mode."""
