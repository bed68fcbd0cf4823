"""Protected sampling: keep a generator away from the images it learned from.

Two guards, alone or together:

* :class:`privacy.guard.rejection.RejectionGuard` rejects finished images that come closer to a
  training image than control images do; :func:`privacy.guard.redraw.redraw` draws them again.
* :class:`privacy.guard.cpsample.CPSampleGuard` steers the sampler away from training images, with
  a classifier overfitted to random labels.

Both look at private training images whenever an image is made, so both void a formal-dp claim
(:mod:`privacy.guard.claim`), and both hold what they saw: a guard is personal data and stays at
the site. Neither makes a memorising model safe; the audit of the released images decides.
"""
