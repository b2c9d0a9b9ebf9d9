"""Export: selects fines, cuts them into batches, prints them as XML and computes their totals."""
