/**
 * What the EXAMPLE of userfaultfd(2) does, in one thread: a page handler fills pages with A, B, C…
 * while bytes are read at every 1024th address, from 0xf on.
 *
 *     npx tsx examples/manpage.ts 3
 */
import {
  formatVaddr,
  Mapping,
  PAGE_SIZE,
  RegisterMode,
  type Uffd,
  UffdBuilder,
} from 'thaw-restore';

/** Serves page faults until the descriptor is closed. */
async function handleFaults(uffd: Uffd, print: (line: string) => void): Promise<void> {
  for (let count = 0; ; count += 1) {
    const { ready, readable, error } = await uffd.poll();
    print('\nhandleFaults():');
    print(`    poll(): ready = ${ready}; POLLIN = ${+readable}; POLLERR = ${+error}`);
    const event = uffd.readEvent();
    if (event?.type !== 'pagefault') throw new Error(`unexpected event: ${event?.type}`);
    print(`    pagefault event: flags = ${event.flags}; address = ${formatVaddr(event.vaddr)}`);

    const page = Buffer.alloc(PAGE_SIZE, String.fromCharCode(65 + (count % 20)));
    const pageStart = event.vaddr - (event.vaddr % BigInt(PAGE_SIZE));
    print(`        (copy: ${uffd.copy(pageStart, page).orThrow()} bytes)`);
  }
}

/** Runs the example with `pageCount` pages. */
export async function main(pageCount: number, print: (line: string) => void): Promise<void> {
  using uffd = new UffdBuilder().closeOnExec(true).nonBlocking(true).create();
  const mapping = Mapping.anonymous(pageCount * PAGE_SIZE);
  print(`Mapped at ${formatVaddr(mapping.vaddr)}`);
  uffd.register(mapping.vaddr, mapping.byteLength, RegisterMode.MISSING);

  const handler = handleFaults(uffd, print);
  for (let offset = 0xf; offset < mapping.byteLength; offset += 1024) {
    // The read waits on a thread of the addon, so this thread is free to bring the page.
    const byte = Buffer.from(await mapping.read(offset, 1)).toString();
    print(`Read ${formatVaddr(mapping.vaddr + BigInt(offset))} in main(): ${byte}`);
  }
  uffd.close();
  await handler.catch((error) => {
    if (error.code !== 'UFFD_CLOSED') throw error;
  });
  await mapping.unmap();
}

if (process.argv[1]?.endsWith('manpage.ts')) await main(Number(process.argv[2] ?? 3), console.log);
