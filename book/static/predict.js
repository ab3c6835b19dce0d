// Predictions: the page works without this; it is loaded where a page has one.
