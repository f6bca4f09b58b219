"""The warehouse on Amazon Redshift."""
