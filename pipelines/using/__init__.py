"""Using a model: predictions, generations, a server."""
