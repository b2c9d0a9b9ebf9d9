"""What all parts of the process use: life cycle, health port, logs, metrics and errors."""
