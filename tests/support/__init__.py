"""What several kinds of tests, the demo and the benchmark need."""
