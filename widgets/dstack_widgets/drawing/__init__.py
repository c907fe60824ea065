"""What widgets draw with: signs, colours, bars, and texts that are cleaned and measured."""

__all__ = ["bars", "forgetting", "glyphs", "palette", "text", "tones"]
