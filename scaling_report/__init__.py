"""Results in, laws and a report out. This room imports `eval.results` and `eval.files`, and nothing else of the house."""
