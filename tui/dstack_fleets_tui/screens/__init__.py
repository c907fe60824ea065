"""The screens: each reads the snapshot and fills its widgets."""
