"""The oracle: the training step in plain NumPy, against which the kernels are tested.

It is slow and written to be read. Where it works in float32 it takes every sum in the order of the
kernels, so that on one CPU thread they agree to the bit; in float64 it is checked itself, by finite
differences.

- `problem`: the tables and the hyper-parameters of a training step
- `arithmetic`: sums, multiply-adds, exponentials and logarithms as the kernels compute them
- `draws`: the counter-based random numbers, the order of samples, the negatives
- `losses`: one function and one row of a table for each loss
- `gradients`: what a pair, or a tile of pairs that share negatives, adds to the gradients
- `updates`: AdaGrad and the projection onto the norm ball
- `training`: asynchronous updates, mini-batches and folding in users
- `exchange`: how the changes that several workers made to items become one

Source: Hsieh et al., "Collaborative Metric Learning", WWW 2017.
"""
