"""Many configurations, trained and evaluated side by side."""
