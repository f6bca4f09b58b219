"""Long tests, run by `make soak`: volumes that `make test` has no time for. Each prints what it measured."""
