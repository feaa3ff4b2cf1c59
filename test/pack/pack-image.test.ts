import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { verifyImage } from '../../src/image/verify-image.js';
import { type PackOptions, packImage, unpackImage } from '../../src/pack/pack-image.js';
import { arbitraryImage, PID, writeRandomImage } from '../support/image-arbitrary.js';
import { makeTempDirectory } from '../support/image-builder.js';
import { fingerprint, readModel } from '../support/image-model.js';

const FIXTURES = join(import.meta.dirname, '../../fixtures');

let temp: ReturnType<typeof makeTempDirectory>;

beforeEach(() => {
  temp = makeTempDirectory();
});

afterEach(() => {
  temp.remove();
});

function outputPath(name: string): string {
  return join(temp.path, name);
}

/** Every file by name: its mode, and its bytes or its target. */
function listFiles(directory: string): Record<string, unknown> {
  const files = readdirSync(directory).map((name) => {
    const path = join(directory, name);
    const stats = lstatSync(path);
    const content = stats.isSymbolicLink()
      ? readlinkSync(path)
      : readFileSync(path).toString('hex');
    return [name, `${stats.mode.toString(8)} ${content}`];
  });
  return Object.fromEntries(files);
}

async function refusal(promise: Promise<unknown>): Promise<ThawError> {
  const error = await promise.catch((reason) => reason);
  if (!(error instanceof ThawError)) throw new Error(`no ThawError but ${error}`);
  return error;
}

const MODES: PackOptions['mode'][] = [
  'page',
  { regionPages: 4 },
  { regionPages: 64 },
  { regionPages: 1024 },
];

describe.each(['pattern', 'family', 'redis'])('%s', (name) => {
  const image = join(FIXTURES, name);

  it.each(MODES)('packed as %j reads as before, and unpacks to the same bytes', async (mode) => {
    const packed = outputPath('packed');
    const summary = await packImage(image, packed, { mode, jobs: 1 });
    const pids = JSON.parse(readFileSync(join(image, 'expected.json'), 'utf8'))
      .tasks.filter(({ state }: { state: string }) => state === 'alive')
      .map(({ pid }: { pid: number }) => String(pid));
    for (const pid of pids) {
      expect(fingerprint(readModel(packed, pid))).toEqual(fingerprint(readModel(image, pid)));
    }
    const { problems, pages } = await verifyImage(packed);
    expect(problems).toEqual([]);
    expect(pages).toBe(summary.pages);
    expect(summary.payloadBytes).toBeLessThan(summary.pageBytes / 2);
    await unpackImage(packed, outputPath('unpacked'));
    expect(listFiles(outputPath('unpacked'))).toEqual(listFiles(image));
  });
});

it('gives the same bytes with threads as without', async () => {
  const image = join(FIXTURES, 'redis');
  for (const mode of MODES) {
    const name = JSON.stringify(mode);
    await packImage(image, outputPath(`one${name}`), { mode, jobs: 1 });
    await packImage(image, outputPath(`three${name}`), { mode, jobs: 3 });
    expect(listFiles(outputPath(`three${name}`))).toEqual(listFiles(outputPath(`one${name}`)));
  }
});

it('packs random images, alone or flattened, and unpacks them', async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(
      arbitraryImage,
      fc.constantFrom(...MODES, { regionPages: 3 }),
      fc.boolean(),
      async (plan, mode, flatten) => {
        const [first, ...parents] = plan.layers;
        if (first === undefined) return;
        const root = outputPath(String(runs++));
        mkdirSync(root);
        const layers = [{ ...first, version1: false }, ...parents];
        const { directory, pages } = writeRandomImage(root, { ...plan, layers });
        const packed = join(root, 'packed');
        await packImage(directory, packed, { mode, flatten, jobs: 1 });
        expect(fingerprint(readModel(packed, String(PID)))).toEqual(fingerprint(pages));
        expect((await verifyImage(packed)).problems).toEqual([]);
        expect(existsSync(join(packed, 'parent'))).toBe(layers.length > 1 && !flatten);
        const unpacked = join(root, 'unpacked');
        await unpackImage(packed, unpacked);
        expect(fingerprint(readModel(unpacked, String(PID)))).toEqual(fingerprint(pages));
        if (first.compress > 0 || (flatten && layers.length > 1)) return;
        expect(listFiles(unpacked)).toEqual(listFiles(directory));
      },
    ),
    { numRuns: 15 },
  );
});

it('leaves out no file, keeps modes and links, and gives back what was packed before', async () => {
  const image = outputPath('image');
  cpSync(join(FIXTURES, 'family'), image, { recursive: true });
  chmodSync(join(image, 'files.img'), 0o600);
  chmodSync(join(image, 'pages-1.img'), 0o640);
  chmodSync(image, 0o750);
  writeFileSync(join(image, 'odd name'), 'odd');
  symlinkSync('nowhere', join(image, 'dangling'));
  await packImage(image, outputPath('first'), { jobs: 1 });
  await packImage(outputPath('first'), outputPath('second'), {
    mode: { regionPages: 64 },
    jobs: 1,
  });
  await unpackImage(outputPath('second'), outputPath('unpacked'));
  expect(listFiles(outputPath('unpacked'))).toEqual(listFiles(image));
  expect(lstatSync(outputPath('unpacked')).mode & 0o777).toBe(0o750);
});

it('keeps the link to the parent leading to where it led', async () => {
  const chain = outputPath('chain');
  cpSync(join(FIXTURES, 'pattern-parent-chain'), chain, { recursive: true });
  mkdirSync(outputPath('elsewhere'));
  const packed = join(outputPath('elsewhere'), 'packed');
  await packImage(join(chain, 'top'), packed, { jobs: 1 });
  expect(readlinkSync(join(packed, 'parent'))).toBe('../../chain/mid');
  const model = readModel(join(FIXTURES, 'pattern'), '31001');
  expect(fingerprint(readModel(packed, '31001'))).toEqual(fingerprint(model));
});

it('flattens a chain into an image that stands alone', async () => {
  const image = join(FIXTURES, 'pattern-parent-chain/top');
  await packImage(image, outputPath('flat'), { flatten: true, jobs: 1 });
  await using checkpoint = await Checkpoint.open(outputPath('flat'));
  expect(checkpoint.parents).toEqual([]);
  const model = readModel(join(FIXTURES, 'pattern'), '31001');
  expect(fingerprint(readModel(outputPath('flat'), '31001'))).toEqual(fingerprint(model));
});

describe('nothing is left behind', () => {
  it('when the work is stopped in the middle', async () => {
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    const options = { signal: controller.signal, onProgress, jobs: 1 };
    const error = await refusal(packImage(join(FIXTURES, 'redis'), outputPath('out'), options));
    expect(error.code).toBe('ABORTED');
    expect(readdirSync(temp.path)).toEqual([]);
  });

  it('when a block is damaged', async () => {
    const image = join(FIXTURES, 'malformed/lz4-corrupt');
    const error = await refusal(unpackImage(image, outputPath('out')));
    expect(error.code).toBe('LZ4_CORRUPT');
    expect(readdirSync(temp.path)).toEqual([]);
  });

  it('when the record of packing is not of this image', async () => {
    const packed = outputPath('packed');
    await packImage(join(FIXTURES, 'pattern'), packed, { jobs: 1 });
    await packImage(join(FIXTURES, 'redis'), outputPath('other'), { jobs: 1 });
    cpSync(join(outputPath('other'), 'thaw-pack.img'), join(packed, 'thaw-pack.img'));
    expect((await refusal(unpackImage(packed, outputPath('out')))).code).toBe('PROTO_MALFORMED');
    expect(readdirSync(temp.path).sort()).toEqual(['other', 'packed']);
  });
});

describe('refused', () => {
  const image = join(FIXTURES, 'pattern');

  it.each<[string, PackOptions]>([
    ['a region of no page', { mode: { regionPages: 0 } }],
    ['a region of more than 4 MiB', { mode: { regionPages: 1025 } }],
    ['no job', { jobs: 0 }],
  ])('is %s', async (_, options) => {
    const error = await refusal(packImage(image, outputPath('out'), options));
    expect(error.code).toBe('INVALID_ARGUMENT');
  });

  it('is an output that exists, or lies in the image', async () => {
    expect((await refusal(packImage(image, temp.path))).code).toBe('INVALID_ARGUMENT');
    expect((await refusal(packImage(image, join(image, 'out')))).code).toBe('INVALID_ARGUMENT');
  });

  it('is an output in a directory that does not exist', async () => {
    const output = join(temp.path, 'no/such/output');
    expect((await refusal(packImage(image, output))).code).toBe('IO_FAILED');
  });

  it('is unpacking what is not packed', async () => {
    expect((await refusal(unpackImage(image, outputPath('out')))).code).toBe('INVALID_ARGUMENT');
  });

  it('is version 1, which cannot say that it is compressed', async () => {
    const old = join(FIXTURES, 'malformed/ok-version-1');
    expect((await refusal(packImage(old, outputPath('out')))).code).toBe('VERSION_UNSUPPORTED');
  });
});
