"""The Prefect side: when and where stages run, and the command line."""
