"""What widgets draw with: signs, colours, bars, and texts that are cleaned and measured."""

__all__ = ["bars", "glyphs", "palette", "text", "tones"]
