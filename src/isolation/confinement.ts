/**
 * What Linux itself can take away from an isolated process, by bubblewrap if that is installed and may make
 * namespaces: the network, all files but the libraries and modules it needs, other processes, and every right to
 * get more rights. It holds what the permission model of Node.js does not: connections, signals, native code after
 * a fault of V8.
 *
 * Where it is not there (no bubblewrap, no user namespaces, another system) processes run without it.
 */
import { execFile } from "node:child_process";

/** Bytes of a core dump and of any file that grows: none; and how many files may be open. */
const limits = ["prlimit", "--core=0", "--fsize=0", "--nofile=256"];

/** What Node.js is linked with. */
const libraries = ["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib"];

const trialTimeoutMs = 30_000;

/** Makes a command, with its arguments, one that sees these files and folders only. */
type Confinement = (readable: readonly string[]) => readonly string[];

/** From the strictest on: where Node.js has libraries in unusual places it needs all of the file system. */
const confinements: readonly Confinement[] = [
  (readable) => [...limits, ...bubblewrap(onlyNeeded(readable))],
  (readable) => bubblewrap(onlyNeeded(readable)),
  () => [...limits, ...bubblewrap(["--ro-bind", "/", "/"])],
];

let found: Promise<Confinement | undefined> | undefined;

/**
 * The words to put before the command of a process that needs these files and folders, for the strictest
 * confinement that works here; none if there is none. It is tried once.
 */
export async function confine(readable: readonly string[]): Promise<readonly string[]> {
  found ??= findConfinement();
  const confinement = await found;
  return confinement?.(readable) ?? [];
}

async function findConfinement(): Promise<Confinement | undefined> {
  if (process.platform !== "linux") {
    return undefined;
  }
  for (const confinement of confinements) {
    if (await works(confinement)) {
      return confinement;
    }
  }
  return undefined;
}

/** Whether Node.js starts in it and can measure its memory, as isolated processes do. */
async function works(confinement: Confinement): Promise<boolean> {
  const [command = "", ...args] = confinement([]);
  const program = [process.execPath, "--eval", "process.memoryUsage.rss()"];
  return await new Promise((resolve) => {
    const options = { env: {}, timeout: trialTimeoutMs };
    execFile(command, [...args, ...program], options, (error) => resolve(error === null));
  });
}

/**
 * Namespaces of its own for everything, as nobody, without capabilities, in a session of its own, so that nothing
 * can be typed into the user's terminal. It ends with this process.
 */
function bubblewrap(files: readonly string[]): string[] {
  const identity = ["--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--hostname", "isolated"];
  return [
    ...["bwrap", "--unshare-all", "--die-with-parent", "--new-session", ...identity],
    ...files,
    ...["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/", "--chdir", "/", "--"],
  ];
}

function onlyNeeded(readable: readonly string[]): string[] {
  return [...nodeFiles(), ...readable.flatMap((path) => ["--ro-bind", path, path])];
}

/** bubblewrap's words for what Node.js itself needs to see: its program and the libraries it is linked with. */
export function nodeFiles(): string[] {
  const tried = [...libraries, "/etc/ld.so.cache"].flatMap((path) => ["--ro-bind-try", path, path]);
  return [...tried, "--ro-bind", process.execPath, process.execPath];
}
