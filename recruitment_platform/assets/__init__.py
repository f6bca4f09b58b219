"""The software-defined assets, one file each, thin: what depends on what, and what a person sees of it."""
