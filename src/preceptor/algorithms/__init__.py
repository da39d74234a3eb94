"""The mathematics of RLHF as pure functions on tensors: no models, no files, no state but the KL controller's.

Legend of shapes: B episodes or prompts, T tokens, V vocabulary, K responses to one prompt.

Two rules hold everywhere.

*Sums, not means.* A loss returns the sum over what is real and how many that was, so that the caller divides once by
the count over all micro-batches and ranks. A mean of means would weigh a short micro-batch like a long one.

*A mask says what is real* (bool, or 0 and 1). What stands elsewhere is never read, be it NaN: padding adds exactly 0
to every sum, every count and every gradient.
"""
