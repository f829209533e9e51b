"""One file per budget: what Roadbook does, against a physical limit of this machine that is measured in the same run."""
