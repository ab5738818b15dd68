"""Matrix in, sectors out, and how a trained model is kept."""
