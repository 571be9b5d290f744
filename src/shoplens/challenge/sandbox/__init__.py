"""Running a program that nobody has read, within limits, and leaving the machine clean.

Read in this order::

    limits        what a submission may use
    reservation   which cores a run gets: those that no other run has
    groups        control groups: memory, processes and processors, counted and bounded
    kernel        the system calls that Python's library does not offer
    filter        the system calls that a submission may not make
    view          the files a submission sees: a root of its own
    staging       photos and tables without labels, and the submission, made ready to be seen
    launcher      the process between us and it: makes namespaces, drops every privilege, starts it
    processes     a process's descendants: their memory, and ending them, where no group does it
    enforcement   what was enforced, by what, and what was not
    supervision   starts the launcher, reads what comes out of it, ends it when a limit is passed

`docs/sandbox.md` says what is enforced by what, and what is not.
"""
