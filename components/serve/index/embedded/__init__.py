"""The index in the gateway's own process: SQLite keeps it, faiss searches it. One writer, one replica."""
