/** Copies a remote model's files to a folder; goes on where a run was stopped. */
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { inOrder } from "../bytes/bounded-pipeline.js";
import { checkRoom, createFolder, syncFolder, writeProblem } from "../bytes/disk.js";
import { partialPathOf, writeFully } from "../bytes/output.js";
import { sha256OfFile } from "../bytes/sha256.js";
import type { ByteSource } from "../bytes/source.js";
import { EnvironmentError } from "../errors.js";
import { openModel } from "../model/open.js";
import type { OnProgress } from "../progress.js";

export interface DownloadOptions {
  /** Whether parts that lie in the folder are of the same files; they are fetched again otherwise. */
  readonly continues: boolean;
  readonly onProgress: OnProgress;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes asked for at a time, and how many such requests are under way. */
const pieceBytes = 1 << 24;
const requests = 4;

/**
 * Downloads all files of a GGUF model; returns the paths, the one to open first. Files of the Hub are checked
 * against its SHA-256. Throws an EnvironmentError if the disk has too little room, a file is damaged or the server
 * fails.
 */
export async function downloadModel(
  model: string,
  folder: string,
  options: DownloadOptions,
): Promise<string[]> {
  const source = await openModel(model, { signal: options.signal });
  try {
    if (!options.continues) {
      await rm(folder, { recursive: true, force: true });
    }
    await createFolder(folder);
    const places = source.files.map((file) => ({ file, path: join(folder, basename(file.name)) }));
    let there = 0;
    for (const { path } of places) {
      there += (await sizeOf(path)) ?? (await sizeOf(partialPathOf(path))) ?? 0;
    }
    await checkRoom(folder, folder, source.byteLength - there);
    let done = 0;
    for (const { file, path } of places) {
      const onBytes = (bytes: number) => {
        const detail = basename(path);
        options.onProgress({
          step: "download",
          done: done + bytes,
          total: source.byteLength,
          unit: "bytes",
          detail,
        });
      };
      if ((await sizeOf(path)) === undefined) {
        await downloadFile(file, path, onBytes, options);
      }
      done += file.byteLength;
    }
    await syncFolder(folder);
    return places.map(({ path }) => path);
  } finally {
    await source.close();
  }
}

/** Downloads one file under another name, which grows as the bytes come, so that its size says how many there are. */
async function downloadFile(
  file: ByteSource,
  path: string,
  onBytes: (bytes: number) => void,
  { signal }: DownloadOptions,
): Promise<void> {
  const partial = partialPathOf(path);
  const handle = await open(partial, "a");
  try {
    const { size } = await handle.stat();
    await inOrder(
      pieces(size, file.byteLength),
      { limit: requests, signal },
      ({ offset, length }) => file.read(offset, length),
      async (piece, bytes) => {
        await append(handle, path, piece, bytes);
        onBytes(piece.offset + piece.length);
      },
    );
    await handle.sync();
  } finally {
    await handle.close();
  }
  await checkChecksum(file, partial, signal);
  await rename(partial, path);
}

interface Piece {
  readonly offset: number;
  readonly length: number;
}

function* pieces(from: number, byteLength: number): Generator<Piece> {
  for (let offset = from; offset < byteLength; offset += pieceBytes) {
    yield { offset, length: Math.min(pieceBytes, byteLength - offset) };
  }
}

async function append(
  handle: FileHandle,
  path: string,
  { offset, length }: Piece,
  bytes: Uint8Array,
): Promise<void> {
  try {
    await writeFully(handle, bytes, offset);
  } catch (cause) {
    throw await writeProblem(path, dirname(path), length, cause);
  }
}

/** The Hub says the checksum of large files; for others it would take another download to know. */
async function checkChecksum(
  file: ByteSource,
  partial: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const wanted = file.remote?.claimedSha256;
  if (wanted === undefined) {
    return;
  }
  const found = await sha256OfFile(partial, signal);
  if (wanted === found) {
    return;
  }
  await rm(partial, { force: true });
  throw new EnvironmentError(
    `${file.name}: what was downloaded has the SHA-256 ${found} instead of ${wanted} and was removed; run the command again.`,
    { file: file.name },
  );
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}
