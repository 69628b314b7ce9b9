"""Which size and data a budget of FLOPs is best spent on: three approaches, and what they are worth."""
