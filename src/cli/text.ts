/**
 * How the command writes numbers and lines for people.
 */
import prettyBytes from 'pretty-bytes';
import { PAGE_SIZE } from '../address.js';

/** `1,118 pages (4.58 MB)`. */
export function formatPages(pages: number): string {
  const unit = pages === 1 ? 'page' : 'pages';
  return `${formatCount(pages)} ${unit} (${formatBytes(pages * PAGE_SIZE)})`;
}

/** `1,118`. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** `3 tasks`, `1 task`. */
export function formatNumberOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** `83 ms`, `1.24 s`. */
export function formatMs(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** `13 µs`, `1.3 ms`, or `-` where nothing was measured. */
export function formatUs(us: number | null): string {
  if (us === null) return '-';
  return us < 1000 ? `${us.toFixed(us < 10 ? 1 : 0)} µs` : formatMs(us / 1000);
}

/** Breaks `text` between words so that no line, indent included, is longer than `columns`. */
export function wrap(text: string, indent: string, columns = 80): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(' ')) {
    if (line !== indent && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = indent;
    }
    line += line === indent ? word : ` ${word}`;
  }
  return [...lines, line].join('\n');
}

/** `text` from an image with control characters made visible: it may not steer the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u{${code.toString(16)}}`;
  });
}

/** `1.45 MiB`. */
export function formatBytes(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}

/** Lines of a table: columns as wide as their longest cell, two spaces between them. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  rightAligned: readonly number[] = [],
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row
      .map((cell, i) => {
        const width = widths[i] ?? 0;
        return rightAligned.includes(i) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

/** What is said when a read has failed, and is tried again. */
export function formatStall(where: string, reason: string): string {
  return `${reason} (${where}): it is tried again for up to 5 s, and whoever needs the page waits`;
}

/** What is said when no read is tried again any more. */
export function formatResume(where: string): string {
  return `no read is tried again any more (${where})`;
}
