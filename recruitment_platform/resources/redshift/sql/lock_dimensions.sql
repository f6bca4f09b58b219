-- The first statement of a dimension's load: the snapshot that all later ones see is taken after it.
LOCK TABLE dimension_version
