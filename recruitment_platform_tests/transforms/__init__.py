"""Tests of the transforms: the SQL against a reference, the engines against each other, Java, lineage."""
