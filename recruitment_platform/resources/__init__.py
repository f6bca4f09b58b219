"""The stores: one file each, behind the protocols of `protocols`."""
