"""Files as updates: CSV, NDJSON and Parquet are read row by row, and every line of them is accounted for.

`sources.open_source` reads what the file says about itself, `columns.decide_columns` settles the type of every column,
and `importing.run_import` does the rest.
"""
