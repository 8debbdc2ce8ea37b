"""What the commands do. The parsers are outside, because these modules import torch."""
