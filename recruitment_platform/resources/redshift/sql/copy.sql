-- The table, the manifest's address and the role are put in by Python: COPY takes no parameters.
COPY {table}
FROM '{manifest}'
IAM_ROLE {role}
FORMAT AS PARQUET
MANIFEST
