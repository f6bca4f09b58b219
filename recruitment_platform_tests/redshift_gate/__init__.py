"""A gate in front of PostgreSQL that speaks and refuses as Redshift does, for tests with Redshift's own driver.

It proves how the platform uses the driver, its sockets, transactions, locks and retries; it proves nothing of Redshift
itself. Where it cannot do as Redshift does, it refuses.
"""
