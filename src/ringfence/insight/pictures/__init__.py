"""Pictures of a network: where things are, and who may say what to whom. SVG and HTML that need nothing else."""
