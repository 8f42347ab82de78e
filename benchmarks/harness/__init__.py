"""What the benchmarks share: configurations, turns, tables, words about the machine."""
