"""From a trained model to the files of one case."""
