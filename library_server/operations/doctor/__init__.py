"""What an operator should know of a running installation: what is wrong, in plain words, and how to mend it.

It asks the server at its public URL, and the database, Redis and folders that the settings name. It only reads.
"""
