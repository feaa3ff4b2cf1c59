/** The pager's socket: whatever comes over it is answered, and the pager lives on. */

import { closeSync, openSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ThawError } from '../../src/errors.js';
import { native } from '../../src/native.js';
import { encodePlan } from '../../src/plan/plan-columns.js';
import { PagerProcess } from '../../src/servicer/pager-process.js';
import {
  decodePacket,
  encodeRequest,
  PACKET_BYTES,
  PLAN_ERRORS,
  REFUSALS,
  REQUEST,
  TARGET_HAS_PIDFD,
} from '../../src/servicer/pager-protocol.js';
import { within } from '../support/process-facts.js';
import { removeTemporary } from '../support/restore-fixtures.js';
import { makeMemory, type OwnMemory, releaseMemory } from '../support/restore-own-memory.js';
import { endTargets, noteChildren } from '../support/restore-targets.js';

const SOURCE = 7;
let pager: PagerProcess;
let figuresFd = -1;
let memory: OwnMemory;
const descriptors: number[] = [];
let nextTarget = 100;

beforeEach(async () => {
  noteChildren();
  const started = await PagerProcess.start([], { event: () => {}, lost: () => {} });
  pager = started.process;
  figuresFd = started.figuresFd;
  memory = makeMemory(16);
  const fd = openSync(memory.sources[0]?.path ?? '', 'r');
  await pager.request({ op: REQUEST.addSource, target: SOURCE }, [fd]);
  closeSync(fd);
});

afterEach(async () => {
  for (const fd of descriptors.splice(0)) closeSync(fd);
  await releaseMemory();
  await pager.close();
  closeSync(figuresFd);
  await endTargets();
  removeTemporary();
});

function seal(bytes: Uint8Array): number {
  const fd = native.createSealedMemfd('plan', [bytes]);
  descriptors.push(fd);
  return fd;
}

/** The refusal of a request as text, or 'accepted'. */
async function ask(
  request: Parameters<PagerProcess['request']>[0],
  fds: readonly number[] = [],
): Promise<string> {
  try {
    await within(pager.request(request, fds));
    return 'accepted';
  } catch (error) {
    if (!(error instanceof ThawError) || error.code !== 'PAGER_REFUSED') throw error;
    return [error.what.replace('the pager refused a request: ', ''), error.found]
      .filter((part) => part !== undefined)
      .join(': ');
  }
}

function askTarget(planFd: number, changes: object = {}, fds?: readonly number[]): Promise<string> {
  const request = {
    op: REQUEST.addTarget,
    b: 1n,
    target: nextTarget++,
    ids: [SOURCE],
    ...changes,
  };
  return ask(request, fds ?? [memory.uffd.fd, planFd]);
}

/** Asks for the real thing and reads all of it. */
async function expectServing(): Promise<void> {
  expect(await askTarget(seal(encodePlan(memory.plan)))).toBe('accepted');
  await expectServed();
}

async function expectServed(): Promise<void> {
  const found = await within(memory.mapping.read(0, memory.bytes.length));
  expect(Buffer.compare(found, memory.bytes)).toBe(0);
}

describe('requests', () => {
  it('that make no sense are refused by name', async () => {
    const plan = seal(encodePlan(memory.plan));
    const pipe = native.createMemfd('something', 0);
    descriptors.push(pipe);
    expect(await ask({ op: 99, target: 1 })).toBe('the request is malformed');
    expect(await ask({ op: 0, target: 1 })).toBe('the request is malformed');
    expect(await ask({ op: REQUEST.fill, target: 1 })).toBe('the pager does not know this target');
    expect(await ask({ op: REQUEST.dropTarget, target: 1 })).toMatch(/does not know this target/);
    expect(await ask({ op: REQUEST.prefetch, target: 1 })).toMatch(/does not know this target/);
    expect(await ask({ op: REQUEST.dropSource, target: 1 })).toMatch(/was not announced/);
    expect(await ask({ op: REQUEST.addSource, target: 1 })).toBe('the request is malformed');
    expect(await ask({ op: REQUEST.addSource, target: 1 }, [plan, plan])).toMatch(/malformed/);
    expect(await askTarget(plan, {}, [])).toBe('the request is malformed');
    expect(await askTarget(plan, {}, [memory.uffd.fd])).toBe('the request is malformed');
    expect(await askTarget(plan, { flags: TARGET_HAS_PIDFD })).toBe('the request is malformed');
    expect(await askTarget(plan, { ids: [SOURCE + 1] })).toMatch(/was not announced/);
    expect(await askTarget(plan, {}, [pipe, plan])).toMatch(/is not a userfaultfd/);
    await expectServing();
  });

  it('for a target that is there already are refused, and it is served on', async () => {
    const plan = seal(encodePlan(memory.plan));
    expect(await askTarget(plan, { target: 5 })).toBe('accepted');
    const other = makeMemory(4);
    expect(
      await ask({ op: REQUEST.addTarget, b: 1n, target: 5, ids: [SOURCE] }, [other.uffd.fd, plan]),
    ).toBe('the target is there already');
    await expectServed();
  });

  it('with more sources than a packet should have are answered', async () => {
    const plan = seal(encodePlan(memory.plan));
    const many = new Array<number>(20_000).fill(SOURCE);
    expect(await askTarget(plan, { ids: many })).toMatch(/its columns do not fit/);
    await expectServing();
  });
});

describe('plans', () => {
  it('that are no plans are refused by what is wrong with them', async () => {
    const right = encodePlan(memory.plan);
    const unsealed = native.createMemfd('plan', right.length);
    descriptors.push(unsealed);
    const bad = (reason: string) => `the plan contradicts itself or its pages images: ${reason}`;
    const change = (at: number, value: bigint): number => {
      const bytes = right.slice();
      new DataView(bytes.buffer).setBigUint64(at, value, true);
      return seal(bytes);
    };
    expect(await askTarget(unsealed)).toBe(bad('it is not sealed'));
    expect(await askTarget(seal(new Uint8Array()))).toBe(bad('it is cut off'));
    expect(await askTarget(seal(right.subarray(0, 100)))).toBe(bad('it is cut off'));
    expect(await askTarget(seal(right.subarray(0, right.length - 8)))).toBe(bad('it is cut off'));
    expect(await askTarget(change(0, 0n))).toBe(bad('its magic is wrong'));
    expect(await askTarget(change(8, 1n))).toBe(bad('it is cut off'));
    // Counts of regions and extents, then the place of a column.
    expect(await askTarget(change(16, 2n ** 64n - 1n))).toBe(bad('its columns do not fit'));
    expect(await askTarget(change(40, 2n ** 63n))).toBe(bad('its columns do not fit'));
    expect(await askTarget(change(40, BigInt(right.length)))).toBe(bad('its columns do not fit'));
    const directory = openSync('/', 'r');
    descriptors.push(directory);
    expect(await askTarget(directory)).toBe(bad('it is not sealed'));
    await expectServing();
  });

  it('with any bytes changed are refused or harmless', async () => {
    // Memory of its own: a plan that is accepted may have it let go of.
    const scratch = makeMemory(16);
    const right = encodePlan(scratch.plan);
    const known = new Set(['accepted', ...REFUSALS, ...PLAN_ERRORS]);
    const values = fc.oneof(
      fc.bigInt(0n, 2n ** 64n - 1n),
      fc.constantFrom(0n, 1n, 2n ** 32n - 1n, 2n ** 47n, 2n ** 63n, 2n ** 64n - 4096n),
    );
    const changes = fc.array(fc.tuple(fc.nat(right.length - 8), values), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(changes, async (list) => {
        const bytes = right.slice();
        const view = new DataView(bytes.buffer);
        for (const [at, value] of list) view.setBigUint64(at, value, true);
        const target = nextTarget++;
        const planFd = seal(bytes);
        const answer = await askTarget(planFd, { target }, [scratch.uffd.fd, planFd]);
        for (const part of answer.split(': ')) expect(known).toContain(part);
        if (answer === 'accepted') await pager.request({ op: REQUEST.dropTarget, target });
      }),
      { numRuns: 150 },
    );
    await expectServing();
  });
});

describe('packets', () => {
  it('read what the native side writes', () => {
    const bytes = new Uint8Array(PACKET_BYTES);
    const view = new DataView(bytes.buffer);
    const words = [3, 4, 5, 0, 6, 0xffff_fff9];
    for (const [i, word] of words.entries()) view.setUint32(i * 4, word, true);
    for (const [i, at] of [24, 32, 40, 48, 56, 64].entries()) {
      view.setBigUint64(at, BigInt(i + 10), true);
    }
    expect(decodePacket(bytes)).toEqual({
      kind: 3,
      eventKind: 4,
      requestId: 5,
      refusal: 6,
      errno: -7,
      target: 10,
      a: 11n,
      b: 12n,
      c: 13n,
      d: 14n,
      e: 15n,
    });
  });

  it('write what the native side reads', () => {
    const bytes = encodeRequest({
      op: 2,
      flags: 3,
      requestId: 4,
      target: 5,
      a: 6n,
      b: 7n,
      ids: [8, 9],
    });
    const view = new DataView(bytes.buffer);
    expect(bytes).toHaveLength(48);
    expect([0, 4, 40, 44].map((at) => view.getUint32(at, true))).toEqual([2, 3, 8, 9]);
    expect([8, 16, 24, 32].map((at) => view.getBigUint64(at, true))).toEqual([4n, 5n, 6n, 7n]);
  });
});
