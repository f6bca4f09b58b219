"""Long tests, run by `make soak`: volumes and weeks that `make test` has no time for. Each prints what it measured."""
