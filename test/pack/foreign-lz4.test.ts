/** LZ4 blocks against another implementation: Debian's python3-lz4, over the real liblz4. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { afterEach, expect, it } from 'vitest';
import { Checkpoint } from '../../src/image/checkpoint.js';
import type { PageOwner } from '../../src/image/task.js';
import { type PackOptions, packImage } from '../../src/pack/pack-image.js';
import { fixturePath, removeTemporary, temporaryDirectory } from '../support/restore-fixtures.js';

const DECODER = fileURLToPath(new URL('../support/decode-blocks.py', import.meta.url));
const PAGE = 4096;

afterEach(removeTemporary);

/** CRC-32 of each page in the LZ4 blocks of an image, and the blocks as the decoder wants them. */
async function collectBlocks(image: string): Promise<{ expected: string[]; input: Buffer }> {
  await using checkpoint = await Checkpoint.open(image);
  const live = checkpoint.tasks.filter((task) => task.state === 'alive');
  const owners: PageOwner[] = [...live, ...checkpoint.sharedObjects];
  const expected: string[] = [];
  const parts: Uint8Array[] = [];
  for (const owner of owners) {
    const [layer] = owner.pagemap.layers;
    if (layer === undefined) continue;
    const file = readFileSync(layer.pages.path);
    for (let run = 0; run < owner.pagemap.runCount; run++) {
      if (!owner.pagemap.isStored(run)) continue;
      const place = owner.pagemap.place(run, 0);
      if (place.blockPages === 0) continue;
      const firstPage = owner.pagemap.runs.firstPage[run] ?? 0;
      const pageCount = owner.pagemap.runs.pageCount[run] ?? 0;
      let { fileOffset, firstBlock: block } = place;
      for (let page = 0; page < pageCount; page += place.blockPages, block++) {
        const pages = Math.min(place.blockPages, pageCount - page);
        const stored = layer.blockSize[block] ?? 0;
        const bytes = file.subarray(fileOffset, fileOffset + stored);
        fileOffset += stored;
        if (stored === 0 || stored === pages * PAGE) continue;
        const head = Buffer.alloc(8);
        head.writeUInt32LE(stored, 0);
        head.writeUInt32LE(pages * PAGE, 4);
        parts.push(head, bytes);
        const vaddr = BigInt(firstPage + page) * BigInt(PAGE);
        expected.push(...crcOfPages(await checkpoint.readPages(owner, vaddr, pages)));
      }
    }
  }
  return { expected, input: Buffer.concat(parts) };
}

function crcOfPages(bytes: Uint8Array): string[] {
  return Array.from({ length: bytes.length / PAGE }, (_, page) =>
    crc32(bytes.subarray(page * PAGE, (page + 1) * PAGE))
      .toString(16)
      .padStart(8, '0'),
  );
}

/** What python3-lz4 makes of the blocks. Debian's own python has it, not another one on the PATH. */
function decodeElsewhere(input: Buffer): string[] {
  const { status, stdout, stderr, error } = spawnSync('/usr/bin/python3', [DECODER], {
    input,
    encoding: 'utf8',
    timeout: 15_000,
    killSignal: 'SIGKILL',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (stderr !== '') throw new Error(`decode-blocks.py: ${stderr}`);
  if (error !== undefined || status !== 0) throw error ?? new Error(`python3 ended with ${status}`);
  return stdout.trimEnd().split('\n');
}

it.each(['pattern-lz4-page', 'pattern-lz4-region'])(
  'the blocks of %s are decoded alike',
  async (name) => {
    const { expected, input } = await collectBlocks(fixturePath(name));
    expect(expected.length).toBeGreaterThan(100);
    expect(decodeElsewhere(input)).toEqual(expected);
  },
);

const MODES: PackOptions['mode'][] = ['page', { regionPages: 64 }, { regionPages: 1024 }];

it.each(MODES)('blocks written here as %j decode there', async (mode) => {
  for (const name of ['pattern', 'family', 'redis']) {
    const packed = join(temporaryDirectory(), 'packed');
    await packImage(fixturePath(name), packed, { mode, jobs: 1 });
    const { expected, input } = await collectBlocks(packed);
    expect(expected.length).toBeGreaterThan(50);
    expect(decodeElsewhere(input)).toEqual(expected);
  }
});
