"""Files: images, layouts, the prepared store, models."""
