/**
 * A WebAssembly module whose memory cannot outgrow a bound. A module states the bound of its own memory, and
 * python.wasm states none; so its memory section is written anew before it is compiled. Custom sections (names,
 * debug information: a third of the file) are left out.
 *
 * The binary format: magic and version, then sections of a type, a length and so many bytes
 * (https://webassembly.github.io/spec/core/binary/modules.html).
 */
import { InternalError } from "../errors.js";

const headerBytes = 8;
const customSection = 0;
const memorySection = 5;

/** Bytes of a page, WebAssembly's unit of memory. */
const pageBytes = 65_536;

/**
 * The module in `bytes` with a memory of at most `megabytes` MiB: beyond, `memory.grow` fails.
 * Throws an InternalError if the module has not exactly one memory, or needs more at once.
 */
export function boundMemory(bytes: Uint8Array, megabytes: number): Uint8Array {
  const parts: Uint8Array[] = [bytes.subarray(0, headerBytes)];
  let memories = 0;
  for (const { type, whole, content } of sections(bytes)) {
    if (type === memorySection) {
      memories++;
      parts.push(boundedSection(content, (megabytes * 2 ** 20) / pageBytes));
    } else if (type !== customSection) {
      parts.push(whole);
    }
  }
  if (memories !== 1) {
    throw new InternalError("the module of the sandbox has no memory of its own.");
  }
  return concatenated(parts);
}

interface Section {
  readonly type: number;
  /** With type and length. */
  readonly whole: Uint8Array;
  readonly content: Uint8Array;
}

function* sections(bytes: Uint8Array): Generator<Section> {
  let start = headerBytes;
  while (start < bytes.length) {
    const { value: length, end: contentStart } = readUnsigned(bytes, start + 1);
    const end = contentStart + length;
    yield {
      type: bytes[start] ?? customSection,
      whole: bytes.subarray(start, end),
      content: bytes.subarray(contentStart, end),
    };
    start = end;
  }
}

/** One memory: a flag whether it has a maximum, the minimum and, if so, the maximum, in pages. */
function boundedSection(content: Uint8Array, maxPages: number): Uint8Array {
  const { value: count, end: flagsAt } = readUnsigned(content, 0);
  const { value: minPages } = readUnsigned(content, flagsAt + 1);
  if (count !== 1 || minPages > maxPages) {
    throw new InternalError(
      `the module of the sandbox has ${count} memories of ${minPages} pages; one of at most ${maxPages} was expected.`,
    );
  }
  const limits = [1, 1, ...unsigned(minPages), ...unsigned(maxPages)];
  return Uint8Array.of(memorySection, ...unsigned(limits.length), ...limits);
}

/** Reads an unsigned LEB128 number: seven bits per byte, the lowest first, the high bit set in all but the last. */
function readUnsigned(bytes: Uint8Array, start: number): { readonly value: number; readonly end: number } {
  let value = 0;
  let at = start;
  for (let factor = 1; ; factor *= 128) {
    const byte = bytes[at++] ?? 0;
    value += (byte & 127) * factor;
    if (byte < 128) {
      return { value, end: at };
    }
  }
}

function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...unsigned(Math.floor(value / 128))];
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
