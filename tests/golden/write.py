"""Writes the golden XML files anew; a difference is a change of the released format."""

from service.export.xml.write import render
from tests.golden.batches import GOLDEN, golden_batches

if __name__ == "__main__":
    for name, batch in golden_batches().items():
        (GOLDEN / name).write_bytes(render(batch))
