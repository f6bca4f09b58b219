"""The stores, a room each, behind the protocols of `protocols`; `stores` opens them by the settings."""
