"""What the project's figures come from: `python -m benchmarks`. See `benchmarks/RESULTS.md`."""
