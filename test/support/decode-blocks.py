"""Decodes LZ4 blocks with Debian's python3-lz4.

On stdin, block after block: stored size and full size as little-endian u32, then the stored bytes. On
stdout the CRC-32 of each decoded page, one a line.
"""
import struct
import sys
import zlib

try:
    import lz4.block
except ImportError:
    sys.exit("python3 finds no lz4 module: scripts/setup installs it (Debian: python3-lz4)")

PAGE = 4096
stdin = sys.stdin.buffer
while head := stdin.read(8):
    stored, full = struct.unpack("<II", head)
    pages = lz4.block.decompress(stdin.read(stored), uncompressed_size=full)
    if len(pages) != full:
        sys.exit(f"a block has {len(pages)} bytes instead of {full}")
    for page in range(0, full, PAGE):
        print(f"{zlib.crc32(pages[page:page + PAGE]):08x}")
