"""A crash-safe, append-only log on local disk: written by one process, read by another.

A *journal* is a folder with one log in it for each process that writes. Appending costs no system
call: a record is copied into a memory-mapped file. What was appended survives the death of the
process at once, and a power cut after the next `JournalReader.save_to_disk`.

    folder.py    what lies where, who is alive: names and locks
    segment.py   the format of a file: records with checksums, names declared once
    writer.py    appending, in the process that has something to say
    reader.py    reading on, and letting go of what has been dealt with
"""
