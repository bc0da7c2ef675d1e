"""Many jobs on one machine or many: the table of jobs, who works on them, and the record of what is done.

It knows nothing of what a job does: the command line hands that in.
"""
