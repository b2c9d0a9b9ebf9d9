"""Programs that measure the source: its vocabulary, its size, and the sentences of its texts."""
