"""An experiment as one file, `NAME.tar.zst`, that is read in place and made a directory again.

It is an ordinary tar file, compressed as a whole. Its first member, `manifest.json`, names
every other one with size and checksum; the others follow in the manifest's order, small ones
that everybody reads first and checkpoints last, so that reading stops early. A reader
believes nothing that the manifest does not name: a member of another kind, in another place,
of another size or with other content is damage, and is named.
"""
