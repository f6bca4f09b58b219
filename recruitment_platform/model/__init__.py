"""The contracts, and the door through which every event enters the lake."""
