"""One's own footage made into a data set: cut, brought to one rate, cropped, sorted, described. Knows no system."""
