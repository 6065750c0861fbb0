"""Work in the database that takes long, beside live traffic: batches."""
