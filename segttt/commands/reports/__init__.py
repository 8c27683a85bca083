"""What a report shows: sources, scores, views, the model card."""
