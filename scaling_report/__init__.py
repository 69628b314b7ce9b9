"""Results in, laws and a report out; imports `eval.results` and `eval.files`, nothing else of the house."""
