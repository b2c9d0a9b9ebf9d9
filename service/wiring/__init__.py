"""The parts of the process, made from settings."""
