"""The steps of the daily path as plain functions over the stores: what assets and the command line call."""
