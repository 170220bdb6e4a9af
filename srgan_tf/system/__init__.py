"""What is neither pictures nor networks: errors, files, locks, memory."""
