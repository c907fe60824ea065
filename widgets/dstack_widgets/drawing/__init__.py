"""What widgets draw with: signs, colours, bars, and texts that are cleaned and measured."""
