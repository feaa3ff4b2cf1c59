/** Every case of the manifest as a user meets it: refused by its name, soon, and in little memory. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { describeImage } from '../../src/image/describe-image.js';
import { verifyImage } from '../../src/image/verify-image.js';
import { type MeasuredResult, measureThaw } from '../support/measured-thaw.js';
import { fixturePath } from '../support/restore-fixtures.js';

const CPU_MS_MAX = 1000;
const BYTES_MAX = 200e6;
const ERROR_LINE = /^thaw: ([A-Z0-9_]+): .*$/gm;

interface MalformedCase {
  readonly dir: string;
  readonly outcome: 'ok' | 'error' | 'either';
  readonly class: string | null;
  readonly also?: readonly string[];
  readonly detect: 'open' | 'read' | null;
}

const { cases }: { cases: MalformedCase[] } = JSON.parse(
  readFileSync(fixturePath('malformed/manifest.json'), 'utf8'),
);

function codesOf({ class: name, also = [] }: MalformedCase): string[] {
  return [name ?? '', ...also].map((code) => code.toUpperCase());
}

/** The code of the error with which `inspect` refuses; `undefined` if it describes the image. */
async function inspect(image: string): Promise<string | undefined> {
  try {
    await using checkpoint = await Checkpoint.open(image);
    describeImage(checkpoint, { extents: true });
    return undefined;
  } catch (error) {
    if (!(error instanceof ThawError)) throw error;
    expect(error.message).toContain(image);
    return error.code;
  }
}

function expectFrugal({ signal, cpuMs, peakBytes }: MeasuredResult): void {
  expect(signal).toBeNull();
  expect(cpuMs).toBeLessThan(CPU_MS_MAX);
  expect(peakBytes).toBeLessThan(BYTES_MAX);
}

/** That the command refused with a line for people that has one of `codes`, and says where. */
function expectRefused(result: MeasuredResult, codes: readonly string[], image: string): void {
  expectFrugal(result);
  expect(result.status).toBe(1);
  const lines = result.stderr.trimEnd().split('\n');
  const found = [...result.stderr.matchAll(ERROR_LINE)];
  expect(found).toHaveLength(lines.length);
  expect(codes).toContain(found.at(-1)?.[1]);
  expect(lines.at(-1)).toContain(image);
}

function expectAccepted(result: MeasuredResult): void {
  expectFrugal(result);
  expect(result).toMatchObject({ status: 0, stderr: '' });
}

it('are 79', () => {
  expect(cases).toHaveLength(79);
});

// Few at a time: each is a process of its own.
describe.concurrent('refused by metadata', () => {
  it.each(cases.filter(({ detect }) => detect === 'open'))('$dir', async (malformed) => {
    const image = fixturePath(`malformed/${malformed.dir}`);
    const codes = codesOf(malformed);
    expect(codes).toContain(await inspect(image));
    const { problems } = await verifyImage(image);
    expect(codes).toContain(problems[0]?.code);
    expectRefused(await measureThaw('restore', image, '--verify'), codes, image);
  });
});

describe.concurrent('refused when it is read', () => {
  it.each(cases.filter(({ detect }) => detect === 'read'))('$dir', async (malformed) => {
    const image = fixturePath(`malformed/${malformed.dir}`);
    const codes = codesOf(malformed);
    expect(await inspect(image)).toBeUndefined();
    expectRefused(await measureThaw('verify', image), codes, image);
    // The pager tells of the page as well; the page's own error comes last.
    expectRefused(await measureThaw('restore', image, '--verify'), codes, image);
  });
});

describe.concurrent('accepted', () => {
  it.each(cases.filter(({ detect }) => detect === null))('$dir', async ({ dir }) => {
    const image = fixturePath(`malformed/${dir}`);
    expect(await inspect(image)).toBeUndefined();
    expectAccepted(await measureThaw('verify', image));
    expectAccepted(await measureThaw('restore', image, '--verify'));
  });
});
