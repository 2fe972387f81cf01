/** Copies a file from a server to the disk; goes on where a run was stopped. */
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { inOrder } from "../bytes/bounded-pipeline.js";
import { writeProblem } from "../bytes/disk.js";
import { partialPathOf, writeFully } from "../bytes/output.js";
import { sha256OfFile } from "../bytes/sha256.js";
import type { ByteSource, RemoteFile } from "../bytes/source.js";
import { EnvironmentError } from "../errors.js";

/** Bytes asked for at a time, and how many such requests are under way. */
const pieceBytes = 1 << 24;
const requests = 4;

/** A file as it is downloaded. */
export interface DownloadedFile extends Pick<ByteSource, "name" | "byteLength" | "read"> {
  readonly remote?: Pick<RemoteFile, "claimedSha256">;
}

/**
 * Downloads a file under another name, which grows as the bytes come, so that its size says how many there are.
 * `onBytes` hears that number. Throws an EnvironmentError if the disk fails or has too little room, or what came has
 * another SHA-256 than the server claims; it is removed then.
 */
export async function downloadFile(
  file: DownloadedFile,
  path: string,
  { onBytes, signal }: { onBytes?: (bytes: number) => void; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const partial = partialPathOf(path);
  const failed = (bytesLeft: number) => async (cause: unknown) => {
    throw await writeProblem(path, dirname(path), bytesLeft, cause);
  };
  const handle = await open(partial, "a").catch(failed(file.byteLength));
  try {
    const { size } = await handle.stat();
    await inOrder(
      pieces(size, file.byteLength),
      { limit: requests, signal },
      ({ offset, length }) => file.read(offset, length),
      async ({ offset, length }, bytes) => {
        await writeFully(handle, bytes, offset).catch(failed(file.byteLength - offset));
        onBytes?.(offset + length);
      },
    );
    await handle.sync().catch(failed(0));
  } finally {
    await handle.close();
  }
  await checkChecksum(file, partial, signal);
  await rename(partial, path).catch(failed(0));
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

/** Some servers say the checksum; for others it would take another download to know. */
async function checkChecksum(
  file: DownloadedFile,
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
