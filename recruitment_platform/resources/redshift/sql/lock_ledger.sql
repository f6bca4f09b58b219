-- The first statement of a load: the snapshot that all later ones see is taken after it.
LOCK TABLE load_ledger
