/**
 * A disk that fails: the operations of this process on files of one folder are counted, the n-th fails as the system
 * would let it fail, or the power goes off there and what was not synced is lost, kept or torn.
 */
import fs, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { sep } from "node:path";
import { uniform } from "./random.js";

const kinds = ["read", "write", "sync", "datasync", "truncate"] as const;
type Operation = (this: FileHandle, ...parameters: unknown[]) => Promise<unknown>;

/** What a write or a truncation replaced. */
interface Undo {
  readonly path: string;
  readonly offset: number;
  readonly before: Uint8Array;
  readonly size: number;
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
  #undo: Undo[] = [];
  readonly #folder: string;
  readonly #paths = new WeakMap<FileHandle, string>();
  readonly #restore: (() => void)[] = [];

  private constructor(folder: string) {
    this.#folder = folder + sep;
  }

  /** Takes the place of the system for files in `folder`, until `remove`. */
  static async install(folder: string): Promise<FaultyDisk> {
    const disk = new FaultyDisk(folder);
    const originals = { open: fs.open, rename: fs.rename };
    const handle = await fs.open(process.execPath, "r");
    const prototype = Object.getPrototypeOf(handle) as Record<(typeof kinds)[number], Operation>;
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
        if (String(path).startsWith(disk.#folder)) {
          disk.#paths.set(opened, String(path));
        }
        return opened;
      },
      rename: async (from: string, to: string) => {
        if (String(to).startsWith(disk.#folder)) {
          disk.#count(to);
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

  /** After a power loss: of what was not synced, each write is lost, kept, or half of it is kept. */
  async losePower(seed: number): Promise<void> {
    const lost = this.#undo.reverse();
    this.arm();
    const chance = uniform(seed);
    for (const { path, offset, before, size } of lost) {
      const fate = chance();
      const handle = fate < 1 / 3 ? undefined : await fs.open(path, "r+").catch(() => undefined);
      if (handle === undefined) {
        continue;
      }
      const from = fate < 2 / 3 ? 0 : Math.floor(before.byteLength / 2);
      await handle.write(before, from, before.byteLength - from, offset + from);
      if (fate < 2 / 3 && (await handle.stat()).size > size) {
        await handle.truncate(size);
      }
      await handle.close();
    }
    this.arm();
  }

  /** Gives the system its place back. */
  remove(): void {
    for (const restore of this.#restore) {
      restore();
    }
  }

  #count(path: string): void {
    const { at, code } = this.#fault ?? { at: Infinity, code: "EIO" as const };
    this.operations++;
    if (this.operations === at || (code === "power" && this.operations > at)) {
      const name = code === "power" ? "EIO" : code;
      throw Object.assign(new Error(`${name}: a fault of the test, '${path}'`), { code: name });
    }
  }

  async #note(kind: (typeof kinds)[number], path: string, parameters: readonly unknown[]): Promise<void> {
    if (this.#fault?.code !== "power") {
      return;
    }
    if (kind === "sync" || kind === "datasync") {
      this.#undo = this.#undo.filter((undo) => undo.path !== path);
    } else if (kind === "write") {
      const [bytes, , length, offset] = parameters as [Uint8Array, number, number, number];
      const { size } = await fs.stat(path);
      const before = new Uint8Array(length ?? bytes.byteLength);
      const handle = await fs.open(path, "r");
      this.#paths.delete(handle);
      await handle.read(before, 0, before.byteLength, offset);
      await handle.close();
      this.#undo.push({ path, offset, before, size });
    }
  }
}
