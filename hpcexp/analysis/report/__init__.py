"""An experiment as one HTML file: verdicts first, then all that they rest on."""
