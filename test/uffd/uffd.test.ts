import { constants } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../src/address.js';
import { RegisterMode, UffdFeature } from '../../src/uffd/flags.js';
import { Mapping } from '../../src/uffd/mapping.js';
import type { Uffd } from '../../src/uffd/uffd.js';
import { UffdBuilder } from '../../src/uffd/uffd-builder.js';
import { nextEvent, page, registered, release, text } from './memory.js';

afterEach(release);

describe('copy', () => {
  it('resolves a fault that another thread of this process waits in', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const reading = mapping.read(5, 3);
    const event = await nextEvent(uffd, 'pagefault');
    expect(event).toMatchObject({
      vaddr: mapping.vaddr,
      write: false,
      writeProtected: false,
      minor: false,
      threadId: undefined,
    });
    const { bytes, errno, code } = uffd.copy(event.vaddr, page('abcdefgh'));
    expect({ bytes, errno, code }).toEqual({ bytes: PAGE_SIZE, errno: 0, code: undefined });
    expect(text(await reading)).toBe('fgh');
  });
});
