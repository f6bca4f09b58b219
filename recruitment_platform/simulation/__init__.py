"""The market, its traffic, and the truth about both."""
