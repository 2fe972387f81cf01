/**
 * A disk that fails: the operations of this process on files of one folder are counted, the n-th fails as the system
 * would let it fail, or the power goes off there and what was not synced is lost, kept or torn: bytes until their
 * file is synced, names until their folder is.
 */
import fs, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { dirname, sep } from "node:path";
import { uniform } from "./random.js";

const kinds = [
  "read",
  "readFile",
  "write",
  "writeFile",
  "appendFile",
  "sync",
  "datasync",
  "truncate",
] as const;
type Kind = (typeof kinds)[number];
type Operation = (this: FileHandle, ...parameters: unknown[]) => Promise<unknown>;

/** What a write or a truncation replaced: the bytes from `offset` on, and the length of the file. */
interface LostBytes {
  readonly path: string;
  readonly offset: number;
  readonly before: Uint8Array;
  readonly size: number;
}

/** What a renaming replaced: the bytes that had the name, if there were any. */
interface LostName {
  readonly from: string;
  readonly to: string;
  readonly before: Uint8Array | undefined;
}

/** What is to happen at the n-th operation, counted from 1. */
export interface Fault {
  readonly at: number;
  /** A code of the system; "power" fails everything from there on. */
  readonly code: "EIO" | "ENOSPC" | "power";
}

export class FaultyDisk {
  /** Operations since the last `arm`. */
  operations = 0;
  #fault: Fault | undefined;
  #undo: (LostBytes | LostName)[] = [];
  readonly #folder: string;
  readonly #paths = new WeakMap<FileHandle, string>();
  readonly #restore: (() => void)[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Takes the place of the system for files in `folder`, until `remove`. */
  static async install(folder: string): Promise<FaultyDisk> {
    const disk = new FaultyDisk(folder);
    const originals = { open: fs.open, rename: fs.rename, readFile: fs.readFile };
    const handle = await fs.open(process.execPath, "r");
    const prototype = Object.getPrototypeOf(handle) as Record<Kind, Operation>;
    await handle.close();
    for (const kind of kinds) {
      const original = prototype[kind];
      prototype[kind] = async function (...parameters) {
        const path = disk.#paths.get(this);
        if (path !== undefined) {
          disk.#count(path);
          await disk.#note(kind, path, parameters);
        }
        return await original.apply(this, parameters);
      };
      disk.#restore.push(() => {
        prototype[kind] = original;
      });
    }
    Object.assign(fs, {
      open: async (path: string, ...rest: []) => {
        const opened = await originals.open(path, ...rest);
        if (disk.#has(path)) {
          disk.#paths.set(opened, String(path));
        }
        return opened;
      },
      readFile: async (path: string, ...rest: []) => {
        if (disk.#has(path)) {
          disk.#count(path);
        }
        return await originals.readFile(path, ...rest);
      },
      rename: async (from: string, to: string) => {
        if (disk.#has(to)) {
          disk.#count(to);
          const before = await originals.readFile(to).catch(() => undefined);
          await originals.rename(from, to);
          disk.#undo.push({ from, to, before });
          return;
        }
        await originals.rename(from, to);
      },
    });
    syncBuiltinESMExports();
    disk.#restore.push(() => {
      Object.assign(fs, originals);
      syncBuiltinESMExports();
    });
    return disk;
  }

  /** Begins to count anew, with a fault or none. */
  arm(fault?: Fault): void {
    this.operations = 0;
    this.#fault = fault;
    this.#undo = [];
  }

  /** After a power loss: of what was not synced, each write is lost, kept, or half of it is kept; a name is lost or kept. */
  async losePower(seed: number): Promise<void> {
    const lost = this.#undo.reverse();
    this.arm();
    const chance = uniform(seed);
    /** Where files are whose new names were kept. */
    const moved = new Map<string, string>();
    for (const undo of lost) {
      const fate = chance();
      if ("to" in undo) {
        if (fate < 1 / 2) {
          moved.set(undo.from, moved.get(undo.to) ?? undo.to);
        } else {
          await loseName(undo);
        }
      } else if (fate >= 1 / 3) {
        await loseBytes({ ...undo, path: moved.get(undo.path) ?? undo.path }, fate < 2 / 3);
      }
    }
    this.arm();
  }

  /** Gives the system its place back. */
  remove(): void {
    for (const restore of this.#restore) {
      restore();
    }
  }

  #has(path: unknown): boolean {
    return path === this.#folder || String(path).startsWith(this.#folder + sep);
  }

  #count(path: string): void {
    const { at, code } = this.#fault ?? { at: Infinity, code: "EIO" as const };
    this.operations++;
    if (this.operations === at || (code === "power" && this.operations > at)) {
      const name = code === "power" ? "EIO" : code;
      throw Object.assign(new Error(`${name}: a fault of the test, '${path}'`), { code: name });
    }
  }

  async #note(kind: Kind, path: string, parameters: readonly unknown[]): Promise<void> {
    if (this.#fault?.code !== "power") {
      return;
    }
    if (kind === "sync" || kind === "datasync") {
      this.#undo = this.#undo.filter((undo) =>
        "to" in undo ? dirname(undo.to) !== path : undo.path !== path,
      );
      return;
    }
    const { size } = await fs.stat(path);
    if (kind === "truncate") {
      const [length = 0] = parameters as [number?];
      await this.#noteBytes(path, Math.min(length, size), size, size);
    } else if (kind === "write") {
      const [bytes, , length, offset] = parameters as [Uint8Array, number, number, number];
      await this.#noteBytes(path, offset, offset + (length ?? bytes.byteLength), size);
    } else if (kind === "writeFile" || kind === "appendFile") {
      // Both are used on files that grow from their beginning.
      await this.#noteBytes(path, size, size, size);
    }
  }

  async #noteBytes(path: string, start: number, end: number, size: number): Promise<void> {
    const before = new Uint8Array(end - start);
    const handle = await fs.open(path, "r");
    this.#paths.delete(handle);
    await handle.read(before, 0, before.byteLength, start);
    await handle.close();
    this.#undo.push({ path, offset: start, before, size });
  }
}

/** Puts back what a write or a truncation replaced, or the second half of it. */
async function loseBytes({ path, offset, before, size }: LostBytes, isWhole: boolean): Promise<void> {
  const handle = await fs.open(path, "r+").catch(() => undefined);
  if (handle === undefined) {
    return;
  }
  const from = isWhole ? 0 : Math.floor(before.byteLength / 2);
  await handle.write(before, from, before.byteLength - from, offset + from);
  if (isWhole && (await handle.stat()).size > size) {
    await handle.truncate(size);
  }
  await handle.close();
}

/** Gives a file its old name back, and the name the file that had it. */
async function loseName({ from, to, before }: LostName): Promise<void> {
  const isThere = await fs.rename(to, from).then(
    () => true,
    () => false,
  );
  if (isThere && before !== undefined) {
    await fs.writeFile(to, before);
  }
}
