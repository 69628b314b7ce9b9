"""From a recipe to a plan, from a plan to stages, from stages to artefacts."""
