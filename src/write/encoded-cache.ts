/**
 * Slices that were encoded before, by what decides their bytes: a folder of files named by a hash of the source's rows
 * themselves, both types, importance, moments, effort, and the encoder by what it does. So nothing in it can be out of
 * date, and any number of processes and models share it. A file gets its name when it is whole, says its own checksum,
 * and is used only if that is right; what is used least recently goes first when the folder is full.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { EnvironmentError, systemErrorCode } from "../errors.js";
import { encoderSignature } from "../quants/encoder-signature.js";
import { contentOf } from "../quants/output-aware/refine.js";
import type { Statistics } from "../quants/statistics.js";
import type { Slice } from "../quants/transcode.js";
import type { Transcoder } from "../quants/transcoder.js";
import { bitsPerWeight, traitsOf } from "../quants/types.js";
import { version } from "../version.js";

/** A slice as it was encoded. */
export interface EncodedSlice {
  readonly bytes: Uint8Array;
  readonly statistics: Statistics;
}

/** SHA-256 of all that follows, then the statistics as five float64, then the encoded rows. */
const checksumBytes = 32;
const fields = ["weights", "energy", "loss", "error", "vanishedRows"] as const;
const headBytes = checksumBytes + 8 * fields.length;

/** What is being written, and what a killed process leaves; older than this, it belongs to nobody. */
const temporary = /\.new-[0-9a-f]{12}$/;
const longestWrite = 3600e3;

/** Names of the folders and files of the cache; what others put there is left alone. */
const folderName = /^[0-9a-f]{2}$/;
const fileName = /^[0-9a-f]{62}(?:\.new-[0-9a-f]{12})?$/;

/** The folder is made smaller to this part of its bound, so that not every run has to. */
const keptShare = 0.9;

export class EncodedCache {
  readonly #folder: string;
  readonly #mostBytes: number;
  #writtenBytes = 0;
  #failure: string | undefined;

  private constructor(folder: string, mostBytes: number) {
    this.#folder = folder;
    this.#mostBytes = mostBytes;
  }

  /** Opens the folder, or makes it. Throws an EnvironmentError if it cannot be written. */
  static async open(folder: string, mostBytes: number): Promise<EncodedCache> {
    const slices = join(folder, "slices");
    try {
      await mkdir(slices, { recursive: true });
      const trial = join(slices, `trial.new-${randomBytes(6).toString("hex")}`);
      await writeFile(trial, "");
      await rm(trial);
    } catch (cause) {
      throw new EnvironmentError(
        `${folder}: cannot be used as a cache (${systemErrorCode(cause) ?? cause}); name a folder that can be written.`,
        { folder },
        { cause },
      );
    }
    return new EncodedCache(slices, mostBytes);
  }

  /** Why something could not be kept, if that happened; the work goes on without. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** The slice if it was encoded before and is undamaged. */
  async get(key: string): Promise<EncodedSlice | undefined> {
    const path = this.#pathOf(key);
    const file = await readFile(path).catch(() => undefined);
    if (file === undefined) {
      return undefined;
    }
    if (file.byteLength < headBytes || !file.subarray(0, checksumBytes).equals(checksumOf(file, key))) {
      await rm(path, { force: true }).catch(() => {});
      return undefined;
    }
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
    const numbers = fields.map((_, i) => file.readDoubleLE(checksumBytes + 8 * i));
    const statistics = Object.fromEntries(fields.map((field, i) => [field, numbers[i]]));
    return {
      bytes: new Uint8Array(file.subarray(headBytes)),
      statistics: statistics as unknown as Statistics,
    };
  }

  /** Keeps an encoded slice. */
  async put(key: string, { bytes, statistics }: EncodedSlice): Promise<void> {
    if (this.#failure !== undefined || headBytes + bytes.byteLength > this.#mostBytes) {
      return;
    }
    const file = Buffer.alloc(headBytes + bytes.byteLength);
    for (const [i, field] of fields.entries()) {
      file.writeDoubleLE(statistics[field], checksumBytes + 8 * i);
    }
    file.set(bytes, headBytes);
    file.set(checksumOf(file, key));
    const path = this.#pathOf(key);
    const under = `${path}.new-${randomBytes(6).toString("hex")}`;
    try {
      await mkdir(join(path, ".."), { recursive: true });
      await writeFile(under, file);
      await rename(under, path);
      this.#writtenBytes += file.byteLength;
    } catch (error) {
      this.#failure = systemErrorCode(error) ?? String(error);
      await rm(under, { force: true }).catch(() => {});
    }
    if (this.#writtenBytes > (1 - keptShare) * this.#mostBytes) {
      await this.trim();
    }
  }

  /** Removes what was used least recently until the folder keeps to its bound, and what killed processes left. */
  async trim(): Promise<void> {
    this.#writtenBytes = 0;
    const found: { path: string; bytes: number; used: number }[] = [];
    for (const part of await namesIn(this.#folder, folderName)) {
      for (const name of await namesIn(join(this.#folder, part), fileName)) {
        const path = join(this.#folder, part, name);
        const entry = await stat(path).catch(() => undefined);
        if (entry === undefined) {
          continue;
        }
        if (temporary.test(name)) {
          if (Date.now() - entry.mtimeMs > longestWrite) {
            await rm(path, { force: true }).catch(() => {});
          }
          continue;
        }
        found.push({ path, bytes: entry.size, used: entry.mtimeMs });
      }
    }
    let total = found.reduce((sum, { bytes }) => sum + bytes, 0);
    if (total <= this.#mostBytes) {
      return;
    }
    for (const { path, bytes } of found.sort((a, b) => a.used - b.used)) {
      if (total <= keptShare * this.#mostBytes) {
        return;
      }
      await rm(path, { force: true }).catch(() => {});
      total -= bytes;
    }
  }

  #pathOf(key: string): string {
    return join(this.#folder, key.slice(0, 2), key.slice(2));
  }
}

async function namesIn(folder: string, pattern: RegExp): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).filter((name) => pattern.test(name));
}

/** Covers the key too: a file under another's name is as good as damaged. */
function checksumOf(file: Uint8Array, key: string): Uint8Array {
  return createHash("sha256").update(key).update(file.subarray(checksumBytes)).digest();
}

/** Whether a slice takes so long to encode that it is worth keeping: not copies, and not types of eight bits and more. */
export function isWorthKeeping({ sourceType, targetType }: Slice): boolean {
  return sourceType !== targetType && traitsOf(targetType).quantized && bitsPerWeight(targetType) < 8;
}

/** A name for what a slice becomes: a hash of everything that decides it. */
export async function keyOf(slice: Slice, encoders: Transcoder): Promise<string> {
  const { sourceType, targetType, columns, importance, moments, effort, source } = slice;
  const signature = await encoderSignature(encoders, targetType, effort, moments !== undefined);
  const facts = [
    version,
    signature,
    sourceType,
    targetType,
    columns,
    effort,
    importance?.sha256,
    moments && contentOf(moments),
  ];
  return createHash("sha256").update(JSON.stringify(facts)).update(source).digest("hex");
}
