/**
 * Bytes of files on servers that were read lately, in one nameless file of bounded size: what is read twice within a short
 * time, by whom it may be, is fetched once. The oldest make room for new ones.
 */
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";

/** Shorter reads are not kept: what they would save is less than what they take. */
const shortest = 1 << 16;

/** A range that is in the file; `isThere` until its place is given to another. */
interface KeptRange {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
  readonly place: number;
  isThere: boolean;
}

type Fetch = (offset: number, length: number) => Promise<Uint8Array>;

let opened = 0;

export class RecentRanges {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #capacity: number;
  /** By file, in the order of offsets; and all of them in the order in which they came. */
  readonly #ranges = new Map<string, KeptRange[]>();
  readonly #inOrder: KeptRange[] = [];
  #next = 0;
  #isFull = false;

  private constructor(handle: FileHandle, path: string, capacity: number) {
    this.#handle = handle;
    this.#path = path;
    this.#capacity = capacity;
  }

  /** Opens one in a folder; its file has no name there, where the system allows that. Close it at the end. */
  static async open(folder: string, capacity: number): Promise<RecentRanges> {
    const path = join(folder, `.lopsided-ranges-${process.pid}-${opened++}`);
    const handle = await open(path, "wx+", 0o600);
    // Windows has to wait for the end.
    await rm(path, { force: true }).catch(() => undefined);
    return new RecentRanges(handle, path, capacity);
  }

  /**
   * A range of a file, with what is known of it; the rest is fetched and kept. What `fetch` throws passes on.
   * @param file stands for the file and its version
   */
  async read(file: string, offset: number, length: number, fetch: Fetch): Promise<Uint8Array> {
    const end = offset + length;
    const known = (this.#ranges.get(file) ?? []).filter(
      (range) => range.offset < end && range.offset + range.length > offset,
    );
    if (known.length === 0) {
      return await this.#fetch(file, offset, length, fetch);
    }
    const bytes = new Uint8Array(length);
    let at = offset;
    for (const range of known) {
      if (range.offset > at) {
        bytes.set(await this.#fetch(file, at, range.offset - at, fetch), at - offset);
        at = range.offset;
      }
      const until = Math.min(end, range.offset + range.length);
      if (until > at) {
        const part = bytes.subarray(at - offset, until - offset);
        if (!(await this.#take(range, at, part))) {
          part.set(await this.#fetch(file, at, part.length, fetch));
        }
        at = until;
      }
    }
    if (at < end) {
      bytes.set(await this.#fetch(file, at, end - at, fetch), at - offset);
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#handle.close();
    await rm(this.#path, { force: true });
  }

  /** Reads part of a kept range; false if it went while it was read, or the disk does not give it back. */
  async #take(range: KeptRange, offset: number, out: Uint8Array): Promise<boolean> {
    const place = range.place + offset - range.offset;
    const { bytesRead } = await this.#handle.read(out, 0, out.length, place).catch(() => ({ bytesRead: 0 }));
    return range.isThere && bytesRead === out.length;
  }

  async #fetch(file: string, offset: number, length: number, fetch: Fetch): Promise<Uint8Array> {
    const bytes = await fetch(offset, length);
    if (length >= shortest && length <= this.#capacity && !this.#isFull) {
      await this.#keep(file, offset, bytes);
    }
    return bytes;
  }

  async #keep(file: string, offset: number, bytes: Uint8Array): Promise<void> {
    const place = this.#makeRoom(bytes.length);
    const range = { file, offset, length: bytes.length, place, isThere: true };
    this.#inOrder.push(range);
    try {
      for (let done = 0; done < bytes.length; ) {
        done += (await this.#handle.write(bytes, done, bytes.length - done, place + done)).bytesWritten;
      }
    } catch {
      // A full disk: then everything is fetched, as without this.
      this.#isFull = true;
      return;
    }
    // Its place may have been given to another meanwhile, if all of the file was.
    if (range.isThere) {
      const own = this.#ranges.get(file) ?? [];
      const index = own.findIndex((other) => other.offset > offset);
      own.splice(index < 0 ? own.length : index, 0, range);
      this.#ranges.set(file, own);
    }
  }

  /** A place for so many bytes; what was there is forgotten. */
  #makeRoom(length: number): number {
    const place = this.#next + length > this.#capacity ? 0 : this.#next;
    const from = this.#next;
    this.#next = place + length;
    const isOver = (range: KeptRange) =>
      (range.place < place + length && range.place + range.length > place) ||
      (place < from && range.place >= from);
    for (let oldest = this.#inOrder[0]; oldest && isOver(oldest); oldest = this.#inOrder[0]) {
      this.#inOrder.shift();
      oldest.isThere = false;
      const own = this.#ranges.get(oldest.file);
      own?.splice(own.indexOf(oldest), own.includes(oldest) ? 1 : 0);
    }
    return place;
  }
}
