"""Settings that the program chooses itself."""

AUTO = "auto"  # the value of a setting that is not given: it depends on other settings, the device or the memory
