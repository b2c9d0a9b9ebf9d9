"""What every part of the process stands on: life cycle, health port, logs, metrics, errors."""
