"""The whole path on the real servers, from the command line as a user calls it."""
