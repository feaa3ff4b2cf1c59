/**
 * A progress bar on stderr, where that is a terminal.
 */
import { Presets, SingleBar } from 'cli-progress';

/** Says how far the work has come; `stop` takes the bar away. */
export interface Progress {
  update(done: number, total: number): void;
  stop(): void;
}

/** A bar that counts pages; nothing is drawn on a pipe. */
export function startPageProgress(): Progress {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const bar = new SingleBar(
    {
      format: '  {bar} {value}/{total} pages  {percentage} %',
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
      barsize: 30,
    },
    Presets.shades_classic,
  );
  let started = false;
  return {
    update: (done, total) => {
      if (!started) bar.start(total, done);
      started = true;
      bar.update(done);
    },
    stop: () => {
      if (started) bar.stop();
    },
  };
}
