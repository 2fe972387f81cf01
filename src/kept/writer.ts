/** Writing kept activations while a model computes, and giving the file its name when all is there. */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { checkpointProblem } from "../activations/checkpoint-problem.js";
import { allocatedBytes, checkRoom, syncFolder } from "../bytes/disk.js";
import { bytesOf } from "../bytes/floats.js";
import { FileSource } from "../bytes/source.js";
import { InternalError } from "../errors.js";
import { planGguf } from "../gguf/layout.js";
import { readGgufHeader } from "../gguf/reader.js";
import type { GgufTensor } from "../gguf/tensors.js";
import { type Ending, functionBytes, type KeptFacts, layoutOf, noRun, runKey } from "./format.js";
import type { KeptInput } from "./layers.js";

/** Rows of consecutive tokens, as they lie in the file. */
export interface KeptBatch {
  readonly rows: Uint8Array;
  readonly scales: Float32Array;
  readonly experts: Uint16Array;
  readonly weights: Float32Array;
}

/** Where a file grows that will be called `path`. */
export function unfinishedPath(path: string): string {
  return `${path}.partial`;
}

/** What is on the disk of a file of activations, whole or unfinished: whether any of it, and how many bytes. */
export async function keptSoFar(
  path: string,
): Promise<{ readonly isThere: boolean; readonly bytes: number }> {
  const places = [path, unfinishedPath(path)];
  const bytes = await Promise.all(places.map(allocatedBytes));
  return { isThere: places.some(existsSync), bytes: bytes.reduce((sum, part) => sum + part, 0) };
}

/** Where the activations of the window lie that begins with a layer, when every window has a file of its own. */
export function windowKeptPath(path: string, firstLayer: number): string {
  return `${path}.layer-${firstLayer}`;
}

/** An unfinished file: everything is put in its place, so that writing it twice changes nothing. */
export class KeptWriter {
  readonly #path: string;
  readonly #fd: number;
  readonly #tensors: ReadonlyMap<string, GgufTensor>;

  private constructor(path: string, fd: number, tensors: readonly GgufTensor[]) {
    this.#path = path;
    this.#fd = fd;
    this.#tensors = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  }

  /** Begins a file. Throws an EnvironmentError if there is too little room for it. */
  static async begin(
    path: string,
    inputs: readonly KeptInput[],
    facts: KeptFacts,
    run: string,
  ): Promise<KeptWriter> {
    const { header, tensors, byteLength } = layoutOf(inputs, facts, run);
    rmSync(path, { force: true });
    await checkRoom(path, dirname(path), byteLength);
    const fd = guarded(path, () => openSync(path, "wx+"));
    const writer = new KeptWriter(path, fd, tensors);
    guarded(path, () => ftruncateSync(fd, byteLength));
    writer.#writeAt(header, 0);
    return writer;
  }

  /** Goes on with a file, or undefined if there is none of this run. */
  static goOn(
    path: string,
    inputs: readonly KeptInput[],
    facts: KeptFacts,
    run: string,
  ): KeptWriter | undefined {
    const { header, tensors } = layoutOf(inputs, facts, run);
    let fd: number;
    try {
      fd = openSync(path, "r+");
    } catch {
      return undefined;
    }
    const found = new Uint8Array(header.byteLength);
    const isSame =
      readSync(fd, found, 0, found.length, 0) === found.length && Buffer.compare(found, header) === 0;
    if (!isSame) {
      closeSync(fd);
      return undefined;
    }
    return new KeptWriter(path, fd, tensors);
  }

  writeRows(input: string, firstToken: number, { rows, scales, experts, weights }: KeptBatch): void {
    const count = scales.length;
    const put = (ending: Ending, bytes: Uint8Array) =>
      this.#write(input, ending, bytes, firstToken * (bytes.byteLength / count));
    put("rows", rows);
    put("scales", bytesOf(scales));
    put("experts", new Uint8Array(experts.buffer, experts.byteOffset, experts.byteLength));
    put("weights", bytesOf(weights));
  }

  writeChannels(input: string, channels: Float32Array): void {
    this.#write(input, "channels", bytesOf(channels), 0);
  }

  readChannels(input: string): Float32Array {
    const { offset, byteLength } = this.#tensor(input, "channels");
    const bytes = new Uint8Array(byteLength);
    guarded(this.#path, () => readSync(this.#fd, bytes, 0, byteLength, offset));
    return new Float32Array(bytes.buffer);
  }

  writeFunction(input: string, name: string): void {
    const bytes = new Uint8Array(functionBytes);
    bytes.set(Buffer.from(name, "ascii").subarray(0, functionBytes));
    this.#write(input, "function", bytes, 0);
  }

  /** Sums of the squares of what entered each expert's down matrix. */
  writeHidden(input: string, sums: Float32Array): void {
    this.#write(input, "hidden", bytesOf(sums), 0);
  }

  /** Returns when what was written outlasts a power failure. */
  sync(): void {
    guarded(this.#path, () => fdatasyncSync(this.#fd));
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(input: string, ending: Ending, bytes: Uint8Array, at: number): void {
    const { offset, byteLength } = this.#tensor(input, ending);
    if (at + bytes.byteLength > byteLength) {
      throw new InternalError(`more of "${input}" was seen than the text has tokens.`);
    }
    this.#writeAt(bytes, offset + at);
  }

  #writeAt(bytes: Uint8Array, offset: number): void {
    guarded(this.#path, () => {
      for (let done = 0; done < bytes.byteLength; ) {
        done += writeSync(this.#fd, bytes, done, bytes.byteLength - done, offset + done);
      }
    });
  }

  #tensor(input: string, ending: Ending): GgufTensor {
    const tensor = this.#tensors.get(`${input}.${ending}`);
    if (tensor === undefined) {
      throw new InternalError(`"${input}" was not to be kept.`);
    }
    return tensor;
  }
}

/**
 * Makes an unfinished file whole: the sums of the hidden values, by the input's name, a header that names no run, and
 * its own name. A run that is killed here keeps again what the unfinished file had; nothing else is lost.
 */
export async function finishKept(path: string, hidden: ReadonlyMap<string, Float32Array>): Promise<void> {
  const unfinished = unfinishedPath(path);
  const source = await FileSource.open(unfinished);
  const { metadata, tensors } = await readGgufHeader(source).finally(() => source.close());
  const whole = new Map(metadata).set(runKey, { type: "string", value: noRun });
  const { header } = planGguf({ metadata: whole, tensors });
  try {
    const file = await open(unfinished, "r+");
    try {
      for (const [input, sums] of hidden) {
        const place = tensors.find(({ name }) => name === `${input}.hidden`);
        await file.write(bytesOf(sums), 0, sums.byteLength, place?.offset ?? 0);
      }
      await file.write(header, 0, header.byteLength, 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (cause) {
    throw checkpointProblem(path, cause);
  }
  await syncFolder(dirname(path));
}

function guarded<Value>(path: string, action: () => Value): Value {
  try {
    return action();
  } catch (cause) {
    throw checkpointProblem(path, cause);
  }
}
