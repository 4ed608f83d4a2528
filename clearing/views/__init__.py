"""Disposable projections of the topics for those who look: a Faust app that folds, and the values it writes."""
