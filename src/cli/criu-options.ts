/**
 * CRIU's command line: one set of options for all of its commands, parsed as getopt_long(3) does.
 *
 * Source: `criu --help` of CRIU 4.1 and 4.2; docs/criu.md.
 */
import { ThawError } from '../errors.js';

/** Whether an option takes a value: never, always, or only when it is attached. */
type Value = 'none' | 'required' | 'optional';

/** Long names, by whether they take a value. All are CRIU's but `ps-header`, `on-error` and those of the fill. */
const LONG: Readonly<Record<Value, string>> = {
  none:
    'all allow-uprobes auto-dedup daemon display-stats enable-external-masters ' +
    'enable-external-sharing evasive-devices exec-cmd experimental extra file-locks force-irmap ' +
    'ghost-fiemap help lazy-pages leave-running leave-stopped link-remap log-pid mntns-compat-mode ' +
    'ms no-default-config page-server persist restore-detached restore-sibling shell-job ' +
    'skip-file-rwx-check skip-in-flight stream tcp-close tcp-established tls tls-no-cn-verify ' +
    'track-mem unprivileged version weak-sysctls',
  required:
    'action-script address cgroup-dump-controller cgroup-props cgroup-props-file cgroup-root ' +
    'cgroup-yard config empty-ns enable-fs ext-mount-map external feature file-validation ' +
    'fill fill-rate fill-threads freeze-cgroup ghost-limit images-dir inherit-fd irmap-scan-path ' +
    'join-ns libdir log-file lsm-mount-context lsm-profile network-lock on-error pidfile port ' +
    'pre-dump-mode prev-images-dir ps-header ps-socket root skip-mnt status-fd timeout tls-cacert ' +
    'tls-cacrl tls-cert tls-key tree veth-pair window work-dir',
  optional: 'cpu-cap ext-unix-sk manage-cgroups verbosity',
};

const VALUE_OF: ReadonlyMap<string, Value> = new Map(
  (['none', 'required', 'optional'] as const).flatMap((value) =>
    LONG[value].split(' ').map((name) => [name, value] as const),
  ),
);

/** Short names. */
const SHORT: Readonly<Record<string, string>> = {
  d: 'daemon',
  S: 'restore-sibling',
  s: 'leave-stopped',
  R: 'leave-running',
  t: 'tree',
  h: 'help',
  D: 'images-dir',
  o: 'log-file',
  v: 'verbosity',
  x: 'ext-unix-sk',
  V: 'version',
  r: 'root',
  j: 'shell-job',
  J: 'join-ns',
  l: 'file-locks',
  W: 'work-dir',
  L: 'libdir',
  M: 'ext-mount-map',
};

/** One option as it was given: its long name, and its value where it has one. */
export interface GivenOption {
  readonly name: string;
  readonly value: string | undefined;
  /** Whether it was given as `--no-<name>`. */
  readonly negated: boolean;
}

/** A command line, taken apart. */
export interface CriuCommandLine {
  /** Options in their order. */
  readonly options: readonly GivenOption[];
  /** What is no option. */
  readonly words: readonly string[];
}

/**
 * Takes `args` apart. Options may stand anywhere, be abbreviated while that is unambiguous, and have
 * their values attached or behind them; `--` ends them.
 *
 * @throws ThawError INVALID_ARGUMENT for an option that CRIU does not have, or without its value.
 */
export function parseCriuOptions(args: readonly string[]): CriuCommandLine {
  const options: GivenOption[] = [];
  const words: string[] = [];
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--') {
      words.push(...rest.splice(0));
    } else if (arg.startsWith('--')) {
      options.push(parseLongOption(arg.slice(2), rest));
    } else if (arg.startsWith('-') && arg !== '-') {
      options.push(...parseShort(arg.slice(1), rest));
    } else {
      words.push(arg);
    }
  }
  return { options, words };
}

/**
 * Takes a long option apart: `name` or `name=value`, without dashes. A value that is not attached is
 * taken from `rest`.
 *
 * @throws ThawError INVALID_ARGUMENT
 */
export function parseLongOption(text: string, rest: string[]): GivenOption {
  const at = text.indexOf('=');
  const given = at < 0 ? text : text.slice(0, at);
  const attached = at < 0 ? undefined : text.slice(at + 1);
  const { name, negated } = resolve(given);
  const kind = negated ? 'none' : VALUE_OF.get(name);
  if (kind === 'none' && attached !== undefined) {
    throw optionError(`--${name} takes no value`, `--${text}`);
  }
  const value = kind === 'required' ? (attached ?? takeValue(`--${name}`, rest)) : attached;
  return { name, value, negated };
}

/** The option that `given` names or is the beginning of. */
function resolve(given: string): { name: string; negated: boolean } {
  if (VALUE_OF.has(given)) return { name: given, negated: false };
  if (given.startsWith('no-') && VALUE_OF.get(given.slice(3)) === 'none') {
    return { name: given.slice(3), negated: true };
  }
  const [name, ...others] = [...VALUE_OF.keys()].filter((long) => long.startsWith(given));
  if (name === undefined) throw optionError('CRIU has no such option', `--${given}`);
  if (others.length > 0) {
    throw optionError(`it may be --${[name, ...others].join(' or --')}`, `--${given}`);
  }
  return { name, negated: false };
}

/** A group such as `-dv4`: the first option that takes a value takes what is left. */
function parseShort(group: string, rest: string[]): GivenOption[] {
  const options: GivenOption[] = [];
  for (let i = 0; i < group.length; i++) {
    const letter = group.charAt(i);
    const name = SHORT[letter];
    if (name === undefined) throw optionError('CRIU has no such option', `-${letter}`);
    const kind = VALUE_OF.get(name);
    if (kind === 'none') {
      options.push({ name, value: undefined, negated: false });
      continue;
    }
    const attached = group.slice(i + 1) || undefined;
    const value = kind === 'required' ? (attached ?? takeValue(`-${letter}`, rest)) : attached;
    options.push({ name, value, negated: false });
    break;
  }
  return options;
}

function takeValue(option: string, rest: string[]): string {
  const value = rest.shift();
  if (value === undefined) throw optionError('its value is missing', option);
  return value;
}

function optionError(what: string, found: string): ThawError {
  return new ThawError('INVALID_ARGUMENT', {
    what,
    found,
    hint: '--help lists the options that have an effect',
  });
}
