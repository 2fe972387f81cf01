/** Fuzzing of readers: whatever is in a file, it is read or refused with one of our errors, with few reads. */
import fc from "fast-check";
import { type ByteSource, MemorySource } from "../../bytes/source.js";
import { InternalError, LopsidedError } from "../../errors.js";
import { type FuzzTarget, fuzzTargets } from "./targets.js";

export interface FuzzOptions {
  readonly runs: number;
  readonly seed: number;
  /** Called after every so many inputs. */
  readonly onProgress?: (outcome: FuzzOutcome) => void;
}

export interface FuzzOutcome {
  readonly runs: number;
  readonly accepted: number;
  readonly refused: number;
}

/** Longest sentence about a file. */
const longestMessage = 2000;

const runsPerReport = 1000;

/**
 * Gives a target `runs` damaged files. Throws an error that shows the smallest offending file found, and the seed,
 * if an outcome is not within the contract.
 */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzOutcome> {
  const outcome = { runs: 0, accepted: 0, refused: 0 };
  const property = fc.asyncProperty(fc.oneof(...target.inputs), async (bytes) => {
    outcome[(await survives(target, bytes)) ? "accepted" : "refused"]++;
    if (++outcome.runs % runsPerReport === 0) {
      options.onProgress?.(outcome);
    }
  });
  await fc.assert(property, { numRuns: options.runs, seed: options.seed });
  return outcome;
}

/** Reads bytes that may be anything. Returns whether they were accepted. */
async function survives(target: FuzzTarget, bytes: Uint8Array): Promise<boolean> {
  const source = new CountingSource(bytes);
  try {
    await target.read(source);
    source.check();
    return true;
  } catch (error) {
    if (!(error instanceof LopsidedError) || error instanceof InternalError) {
      throw error;
    }
    if (error.message.length > longestMessage || !error.message.startsWith(source.name)) {
      throw new Error("its message is too long, or does not begin with the file's name", { cause: error });
    }
    source.check();
    return false;
  }
}

/** Refuses reads beyond a small multiple of the file: readers read its beginning and then each byte a few times. */
class CountingSource implements ByteSource {
  readonly name = "folder";
  readonly #memory: MemorySource;
  #bytesRead = 0;
  #reads = 0;

  constructor(bytes: Uint8Array) {
    this.#memory = new MemorySource(this.name, bytes);
  }

  get byteLength(): number {
    return this.#memory.byteLength;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#bytesRead += length;
    this.#reads++;
    return await this.#memory.read(offset, length);
  }

  async close(): Promise<void> {}

  check(): void {
    if (this.#bytesRead > 4 * this.byteLength + 1024 || this.#reads > this.byteLength / 4 + 64) {
      throw new Error(
        `${this.#bytesRead} bytes were asked for in ${this.#reads} reads, of a file of ${this.byteLength} bytes`,
      );
    }
  }
}

export { fuzzTargets };
