"""See the Speaker (Wang et al., arXiv 2510.26819): speech to a portrait, and a portrait to high-resolution video."""
