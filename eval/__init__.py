"""Measure language models on tasks; usable on any Hugging Face checkpoint.

Light on purpose: importing `eval`, `eval.files`, `eval.results` or `eval.settings` never imports torch.
Write `from eval.metrics import bleu`, never `import eval`, which would hide Python's own `eval`.
"""
