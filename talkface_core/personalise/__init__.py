"""A person of one's own: footage in, one checkpoint of that person and a page of what became better out."""
