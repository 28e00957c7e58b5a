"""Models of every kind behind one protocol, `learner.Learner`."""
