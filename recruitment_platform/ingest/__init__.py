"""How events and operational rows get into the lake and the relational store."""
