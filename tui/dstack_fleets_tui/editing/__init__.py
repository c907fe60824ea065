"""What the screens of an edit show and take, without any screen."""

__all__ = ["fleet_form", "fleet_outlook", "form", "host_form", "outlook", "plan_text", "texts"]
