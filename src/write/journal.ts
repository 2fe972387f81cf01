/**
 * The journal of an unfinished output: which slices are safely on the disk, and what encoding did to them. Slices
 * are finished in the order of `sliceTasks`, so the journal is a list, and what a record is about follows from its
 * place in it.
 *
 * ```
 * "LOPSIDED JOURNAL 2\n"
 * uint32 length, uint32 crc32, JSON of that length: { "fingerprint": { name: sha256, ... }, "slices": count }
 * records of 52 bytes:
 *   uint32 crc32 of the rest of the record, begun with the record's number
 *   uint32 crc32 of the slice's bytes
 *   uint32 crc32 of the source's rows that they were made of
 *   float64 weights, energy, loss, error, vanished rows: see `quants/statistics.ts`
 * ```
 * All numbers are little-endian. A journal may end anywhere (power loss): it counts up to its last whole record.
 */
import { type FileHandle, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { z } from "zod";
import { syncFolder, writeProblem } from "../bytes/disk.js";
import { writeFully } from "../bytes/output.js";
import { type ByteSource, FileSource } from "../bytes/source.js";
import { parseJsonAs } from "../bytes/typed-json.js";
import type { Statistics } from "../quants/statistics.js";
import type { Fingerprint } from "./fingerprint.js";

const magic = Buffer.from("LOPSIDED JOURNAL 2\n", "latin1");
const startBytes = magic.byteLength + 8;
const recordBytes = 52;

/** Real ones have about 600 bytes: a name and a checksum for each part of the fingerprint. */
const longestStart = 2 ** 16;

/** Records read at a time. */
const recordsPerRead = 1024;

/** What a journal begins with. */
export interface JournalStart {
  readonly fingerprint: Fingerprint;
  /** How many slices the output has in all. */
  readonly slices: number;
}

/** A slice that is on the disk. */
export interface SliceRecord {
  /** Of the slice's encoded bytes. */
  readonly crc32: number;
  /** Of the source's rows. */
  readonly sourceCrc32: number;
  readonly statistics: Statistics;
}

const startSchema = z.strictObject({
  fingerprint: z.record(z.string().max(100), z.string().max(100)),
  slices: z.int().nonnegative(),
});

export class Journal {
  #count = 0;

  readonly #recordsOffset: number;
  readonly #handle: FileHandle;
  readonly path: string;
  readonly start: JournalStart;

  private constructor(path: string, start: JournalStart, recordsOffset: number, handle: FileHandle) {
    this.path = path;
    this.start = start;
    this.#recordsOffset = recordsOffset;
    this.#handle = handle;
  }

  /** Begins a journal, which lasts when this returns. What was at `path` is lost. */
  static async create(path: string, start: JournalStart): Promise<Journal> {
    const { fingerprint, slices } = start;
    const json = Buffer.from(JSON.stringify({ fingerprint: Object.fromEntries(fingerprint), slices }));
    const head = Buffer.alloc(startBytes);
    magic.copy(head);
    head.writeUInt32LE(json.byteLength, magic.byteLength);
    head.writeUInt32LE(crc32(json), magic.byteLength + 4);
    const bytes = Buffer.concat([head, json]);
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, "w");
      await writeFully(handle, bytes, 0);
      await handle.sync();
      await syncFolder(dirname(path));
    } catch (cause) {
      await handle?.close();
      throw await writeProblem(path, dirname(path), bytes.byteLength, cause);
    }
    return new Journal(path, start, bytes.byteLength, handle);
  }

  /** Opens a journal; undefined if there is none or its start is not whole, so that it says nothing. */
  static async open(path: string): Promise<Journal | undefined> {
    const handle = await open(path, "r+").catch(() => undefined);
    if (handle === undefined) {
      return undefined;
    }
    try {
      const found = await withSource(path, readJournalStart);
      if (found !== undefined) {
        return new Journal(path, found.start, found.recordsOffset, handle);
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    await handle.close();
    return undefined;
  }

  /** How many records this run knows of: those kept by `cutAfter` and those it added. */
  get length(): number {
    return this.#count;
  }

  /** The records up to the first that is missing or damaged. */
  async *records(): AsyncGenerator<SliceRecord> {
    const source = await FileSource.open(this.path);
    try {
      yield* readJournalRecords(source, this.#recordsOffset, this.start.slices);
    } finally {
      await source.close();
    }
  }

  /** Forgets all records after the first `count`; `append` goes on there. */
  async cutAfter(count: number): Promise<void> {
    await this.#handle.truncate(this.#recordsOffset + count * recordBytes);
    this.#count = count;
  }

  /** Adds records; they last when this returns. Throws an EnvironmentError if they cannot be written. */
  async append(records: readonly SliceRecord[]): Promise<void> {
    const bytes = Buffer.concat(records.map((record, index) => encodeRecord(record, this.#count + index)));
    try {
      await writeFully(this.#handle, bytes, this.#recordsOffset + this.#count * recordBytes);
      await this.#handle.datasync();
    } catch (cause) {
      throw await writeProblem(this.path, dirname(this.path), bytes.byteLength, cause);
    }
    this.#count += records.length;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true });
  }
}

async function withSource<T>(path: string, use: (source: ByteSource) => Promise<T>): Promise<T> {
  const source = await FileSource.open(path);
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}

/** Reads how a journal begins and where its records do; undefined if that is cut, damaged or something else. */
export async function readJournalStart(
  source: ByteSource,
): Promise<{ start: JournalStart; recordsOffset: number } | undefined> {
  if (source.byteLength < startBytes) {
    return undefined;
  }
  const head = Buffer.from(await source.read(0, startBytes));
  const length = head.readUInt32LE(magic.byteLength);
  if (!head.subarray(0, magic.byteLength).equals(magic) || length > longestStart) {
    return undefined;
  }
  if (source.byteLength < startBytes + length) {
    return undefined;
  }
  const json = Buffer.from(await source.read(startBytes, length));
  if (crc32(json) !== head.readUInt32LE(magic.byteLength + 4)) {
    return undefined;
  }
  const start = parseStart(json.toString("utf8"));
  return start && { start, recordsOffset: startBytes + length };
}

function parseStart(json: string): JournalStart | undefined {
  try {
    const kind = { kind: "a journal", advice: "start over" };
    const { fingerprint, slices } = parseJsonAs(startSchema, json, "journal", kind);
    return { fingerprint: new Map(Object.entries(fingerprint)), slices };
  } catch {
    return undefined;
  }
}

/** Reads at most `most` records, up to the first that is missing or damaged. Memory is constant. */
export async function* readJournalRecords(
  source: ByteSource,
  recordsOffset: number,
  most: number,
): AsyncGenerator<SliceRecord> {
  const whole = Math.floor((source.byteLength - recordsOffset) / recordBytes);
  const count = Math.min(most, whole);
  for (let first = 0; first < count; first += recordsPerRead) {
    const length = Math.min(recordsPerRead, count - first) * recordBytes;
    const bytes = Buffer.from(await source.read(recordsOffset + first * recordBytes, length));
    for (let at = 0; at < length; at += recordBytes) {
      const record = decodeRecord(bytes.subarray(at, at + recordBytes), first + at / recordBytes);
      if (record === undefined) {
        return;
      }
      yield record;
    }
  }
}

function encodeRecord(record: SliceRecord, number: number): Buffer {
  const { crc32: sliceCrc32, sourceCrc32, statistics } = record;
  const { weights, energy, loss, error, vanishedRows } = statistics;
  const bytes = Buffer.alloc(recordBytes);
  bytes.writeUInt32LE(sliceCrc32, 4);
  bytes.writeUInt32LE(sourceCrc32, 8);
  for (const [i, value] of [weights, energy, loss, error, vanishedRows].entries()) {
    bytes.writeDoubleLE(value, 12 + 8 * i);
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(4), number), 0);
  return bytes;
}

function decodeRecord(bytes: Buffer, number: number): SliceRecord | undefined {
  if (crc32(bytes.subarray(4), number) !== bytes.readUInt32LE(0)) {
    return undefined;
  }
  const value = (index: number) => bytes.readDoubleLE(12 + 8 * index);
  const statistics = {
    weights: value(0),
    energy: value(1),
    loss: value(2),
    error: value(3),
    vanishedRows: value(4),
  };
  return { crc32: bytes.readUInt32LE(4), sourceCrc32: bytes.readUInt32LE(8), statistics };
}
