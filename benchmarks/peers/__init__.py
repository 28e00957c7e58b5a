"""Programs that Millstream is measured beside: one file for each, and what it needs beside it."""
