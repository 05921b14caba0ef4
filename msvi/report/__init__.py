"""What is written for readers: pictures, tables, the page of all results."""
