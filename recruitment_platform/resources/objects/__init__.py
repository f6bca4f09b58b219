"""The object stores: a folder, or a bucket of S3."""
