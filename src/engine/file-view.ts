/**
 * What the engine's process sees of the file system where it is confined (`confinement.ts`): the files that its jobs
 * have named. A file is told by what it is and not only by its name, since a name may come to mean another file.
 */
import { accessSync, constants, lstatSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname, resolve, sep } from "node:path";
import type { JobFiles } from "./job-files.js";

/** A path as the process names it, and the file that it means. */
interface Mount {
  readonly from: string;
  readonly identity: string;
}

export class FileView {
  /** By the path that the process names. */
  readonly #files = new Map<string, Mount>();
  readonly #folders = new Map<string, Mount>();
  #scratch = false;

  /** The files of the jobs so far that are still what they were, and those of another job. */
  with({ reads = [], writes = [], scratch = false }: JobFiles): FileView {
    const wider = new FileView();
    wider.#scratch = scratch || this.#scratch;
    for (const path of [...this.#folders.keys(), ...foldersOf(writes)]) {
      add(wider.#folders, path);
    }
    for (const path of [...this.#files.keys(), ...reads.map((path) => resolve(path))]) {
      add(wider.#files, path);
    }
    return wider;
  }

  /** Whether a process with this view sees all that one with the other does. */
  covers(other: FileView): boolean {
    const includes = (mine: ReadonlyMap<string, Mount>, others: ReadonlyMap<string, Mount>) =>
      [...others].every(([path, { identity }]) => mine.get(path)?.identity === identity);
    return (
      includes(this.#files, other.#files) &&
      includes(this.#folders, other.#folders) &&
      (this.#scratch || !other.#scratch)
    );
  }

  get needsScratch(): boolean {
    return this.#scratch;
  }

  /**
   * Whether a process of this user without privileges may open all of it, as a confined one is: the superuser of a
   * container often works on files of another user.
   */
  get isOpenToOwner(): boolean {
    if (process.geteuid?.() !== 0) {
      return true;
    }
    const opens = ({ from }: Mount, others: number) => {
      const { uid, gid, mode } = statSync(from);
      return uid === 0 || (mode & others) === others || (gid === 0 && ((mode >> 3) & others) === others);
    };
    return (
      [...this.#files.values()].every((mount) => opens(mount, constants.R_OK)) &&
      [...this.#folders.values()].every((mount) => opens(mount, constants.W_OK | constants.X_OK))
    );
  }

  /** bubblewrap's words for it. Folders come first, so that a model in one of them is there to be read only. */
  get words(): string[] {
    const folders = [...this.#folders].flatMap(([path, { from }]) => ["--bind", from, path]);
    const files = [...this.#files].flatMap(([path, { from }]) => {
      // In a folder that is seen as it is, a link leads to where its file must be.
      const isSeen = [...this.#folders.keys()].some((folder) => path.startsWith(withSeparator(folder)));
      return ["--ro-bind", from, isSeen ? from : path];
    });
    return [...folders, ...files];
  }
}

/** Folders of files to be written: where their names are, and where the files are that these lead to. */
function foldersOf(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    const named = resolve(path);
    const isLink = lstatSync(named, { throwIfNoEntry: false })?.isSymbolicLink() === true;
    const target = isLink ? realPath(named) : undefined;
    return [dirname(named), ...(target === undefined ? [] : [dirname(target)])];
  });
}

/** What is not there, or may not be read, is left for the job to miss, which says so best. */
function add(mounts: Map<string, Mount>, path: string): void {
  const from = realPath(path);
  if (from === undefined) {
    return;
  }
  const stat: Stats = statSync(from);
  mounts.set(path, { from, identity: `${stat.dev}:${stat.ino}` });
}

function realPath(path: string): string | undefined {
  try {
    const real = realpathSync(path);
    accessSync(real, constants.R_OK);
    return real;
  } catch {
    return undefined;
  }
}

function withSeparator(folder: string): string {
  return folder.endsWith(sep) ? folder : folder + sep;
}
