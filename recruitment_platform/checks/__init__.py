"""Asset checks that a person sees by name."""
