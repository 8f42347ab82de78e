"""hpcexp as a laboratory has it: installed from its wheel, beside their own code."""
