/** Texts that models are calibrated on and measured with: read as llama.cpp's tools read them, refused if they are none. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { FileSource } from "../bytes/source.js";
import { EnvironmentError, MalformedInputError, UsageError } from "../errors.js";
import type { PlainText } from "./text-input.js";

/** Larger texts are read in part: as many bytes as the chunks asked for can need. */
const largestWhole = 2 ** 30;

/** Bytes that a token stands for at most, on average; words of English have 5, indentation of code may have 30. */
const mostBytesPerToken = 64;

/** Read at a time when a text is looked through. */
const pieceBytes = 2 ** 20;

/** As much of a text is looked through before a model is loaded: some tenths of a second. */
const lookedThroughBytes = 2 ** 28;

/** How files begin that are taken for texts by mistake. */
const magics: readonly (readonly [name: string, bytes: readonly number[]])[] = [
  ["UTF-16 text", [0xff, 0xfe]],
  ["UTF-16 text", [0xfe, 0xff]],
  ["gzip archive", [0x1f, 0x8b]],
  ["Zstandard archive", [0x28, 0xb5, 0x2f, 0xfd]],
  ["bzip2 archive", [0x42, 0x5a, 0x68]],
  ["xz archive", [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ["ZIP archive", [0x50, 0x4b, 0x03, 0x04]],
  ["Parquet file", [0x50, 0x41, 0x52, 0x31]],
  ["Arrow file", [0x41, 0x52, 0x52, 0x4f, 0x57, 0x31]],
  ["GGUF file", [0x47, 0x47, 0x55, 0x46]],
  ["PDF file", [0x25, 0x50, 0x44, 0x46]],
];

/** Throws an EnvironmentError unless `path` is a file that can be read: what is found out before a model is loaded. */
export async function checkReadable(path: string): Promise<void> {
  let isFile: boolean;
  try {
    await access(path, constants.R_OK);
    isFile = (await stat(path)).isFile();
  } catch (cause) {
    throw new EnvironmentError(`${path}: cannot be read; check the path.`, { file: path }, { cause });
  }
  if (!isFile) {
    throw new EnvironmentError(`${path}: is not a file; name a text file.`, { file: path });
  }
}

/**
 * Looks through a text before a model is loaded. Throws an EnvironmentError if it cannot be read, a
 * MalformedInputError if it is no text (an archive, a model, UTF-16, anything with NUL bytes). What is not UTF-8 is
 * only warned of: llama.cpp makes tokens of any bytes.
 */
export async function checkText(path: string, onWarning?: (warning: string) => void): Promise<void> {
  await checkReadable(path);
  const source = await FileSource.open(path);
  try {
    if (source.byteLength === 0) {
      throw noText(path, "is empty");
    }
    const decoder = new TextDecoder("utf-8", { fatal: true });
    let isUtf8 = true;
    const end = Math.min(source.byteLength, lookedThroughBytes);
    for (let offset = 0; offset < end; offset += pieceBytes) {
      const piece = await source.read(offset, Math.min(pieceBytes, end - offset));
      if (offset === 0) {
        refuseOtherFiles(path, piece);
      }
      const zero = piece.indexOf(0);
      if (zero >= 0) {
        throw noText(path, `has a NUL byte at byte ${offset + zero}`);
      }
      try {
        decoder.decode(piece, { stream: offset + pieceBytes < source.byteLength });
      } catch {
        if (isUtf8) {
          onWarning?.(
            `${path}: is not valid UTF-8 (between bytes ${Math.max(0, offset - 3)} and ${offset + piece.length}); a text in another encoding gives wrong statistics, convert it to UTF-8.`,
          );
        }
        isUtf8 = false;
      }
    }
  } finally {
    await source.close();
  }
}

function refuseOtherFiles(path: string, start: Uint8Array): void {
  const begins = (bytes: readonly number[]) => bytes.every((byte, i) => start[i] === byte);
  const [kind] = magics.find(([, bytes]) => begins(bytes)) ?? [];
  if (kind !== undefined) {
    throw noText(path, `is a ${kind.replace(/^UTF-16 text$/, "text in UTF-16")}`);
  }
  // The length of the header, which is JSON.
  if (start.length > 9 && start[8] === 0x7b && start.subarray(4, 8).every((byte) => byte === 0)) {
    throw noText(path, "is a safetensors file");
  }
}

function noText(path: string, found: string): MalformedInputError {
  return new MalformedInputError(`${path}: ${found}; name a plain text in UTF-8.`, { file: path });
}

/**
 * A text's bytes as llama.cpp's tools take them: without the last line's end. Of one above a gibibyte only what
 * `tokens` may need is read, up to the end of a line; without that number it is a UsageError.
 */
export async function readTextFile(path: string, tokens?: number): Promise<Uint8Array> {
  const source = await FileSource.open(path);
  try {
    if (source.byteLength <= largestWhole) {
      return withoutFinalNewline(await source.read(0, source.byteLength));
    }
    if (tokens === undefined) {
      throw new UsageError(
        `${path}: has ${source.byteLength} bytes, too many to be read whole; say how many chunks to read (\`chunks\`).`,
        { file: path },
      );
    }
    const length = Math.min(source.byteLength, largestWhole, bytesFor(tokens));
    const bytes = await source.read(0, length);
    return bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1 || length);
  } finally {
    await source.close();
  }
}

/** The bytes of a text in which there are `tokens` for sure. */
export function bytesFor(tokens: number): number {
  return tokens * mostBytesPerToken + pieceBytes;
}

/** A text's bytes as `readTextFile` reads them, of conversations what was rendered. */
export async function readPlainText({ path, rendered }: PlainText, tokens?: number): Promise<Uint8Array> {
  return rendered === undefined
    ? await readTextFile(path, tokens)
    : withoutFinalNewline(Buffer.from(rendered));
}

/** The tokens that some chunks have; undefined for all that there are. */
export function tokensOf({
  context,
  chunks,
}: {
  readonly context: number;
  readonly chunks?: number | undefined;
}): number | undefined {
  return chunks === undefined ? undefined : context * Math.max(2, chunks);
}

/** The bytes without one newline at their end. */
export function withoutFinalNewline(text: Uint8Array): Uint8Array {
  return text.at(-1) === 0x0a ? text.subarray(0, -1) : text;
}
