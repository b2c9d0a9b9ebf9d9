"""The service against simulated Kafka and real PostgreSQL, with all that can go wrong, by seed.

    python -m tests.simulator --seed 17       one history, exactly as it was before
    python -m tests.simulator --count 1000    the histories of the seeds 0 to 999

Two instances of the service run in one process: intake, sweep, relay and exports as they are. Their
ports are simulated: the Kafka client (`consumer.py`, `producer.py`), the clocks (`clock.py`,
`databases.py`) and the sessions with PostgreSQL, which are real but wait for their turn
(`sessions.py`). Whatever an instance asks of a port waits until the scheduler grants it
(`scheduler.py`). The scheduler grants one thing at a time, chosen by the seed, and between any two
it may do harm (`faults.py`): kill, stop or pause an instance, move partitions, cut a session before
or after its COMMIT took effect, lose an acknowledgement, put back an older database.

If an older database comes back, what the runbook says is done (`recovering.py`), and the history
goes on.

In the end a judge compares tables and topics with the independent model, which takes all records,
exports and adopted batches in the order of the commits; then it reconciles the ledger, and lets the
auditor look at everything (`judge.py`).
"""
