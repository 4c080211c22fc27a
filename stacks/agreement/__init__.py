"""
What the facts of one environment promise each other.

Each fact may be fine by itself and the whole still break on AWS, hours into a
deployment. Every such promise is a claim over several keys, with what an
operator is told where it is broken.
"""
