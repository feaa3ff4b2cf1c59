import { expect, it } from 'vitest';
import { main } from '../../examples/manpage.js';

it('does what the example of the manual page does', async () => {
  const lines: string[] = [];
  await main(3, (line) => lines.push(line.trim()));
  const [mapped = '', ...rest] = lines;
  const base = BigInt(/0x[0-9a-f]+$/.exec(mapped)?.[0] ?? '0');
  const vaddr = (offset: number) => `0x${(base + BigInt(offset)).toString(16)}`;
  const expected = [0, 1, 2].flatMap((index) => [
    'handleFaults():',
    'poll(): ready = 1; POLLIN = 1; POLLERR = 0',
    `pagefault event: flags = none; address = ${vaddr(index * 4096)}`,
    '(copy: 4096 bytes)',
    ...[0xf, 0x40f, 0x80f, 0xc0f].map(
      (offset) => `Read ${vaddr(index * 4096 + offset)} in main(): ${'ABC'[index]}`,
    ),
  ]);
  expect(rest).toEqual(expected);
});
