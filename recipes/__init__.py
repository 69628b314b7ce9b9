"""The recipes that come with Stepladder; YAML files, read as package data."""
