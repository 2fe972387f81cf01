/** What an output depends on, part by part, so that an unfinished one is only continued with the same. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import type { ByteSource } from "../bytes/source.js";
import { MalformedInputError, UsageError } from "../errors.js";
import { planGguf } from "../gguf/layout.js";
import type { ModelSource } from "../model/source.js";

/** SHA-256 by the name of what it stands for, as a message says it: "recipe", "source". */
export type Fingerprint = ReadonlyMap<string, string>;

/** Pieces of a source file that are looked at, and their size: 256 KiB in all, the first ones in the header. */
const samples = 64;
const sampleBytes = 4096;

/** Fingerprints what is given by name. Parts that are undefined count as such. */
export function fingerprintOf(parts: Readonly<Record<string, string | undefined>>): Fingerprint {
  return new Map(Object.entries(parts).map(([name, part]) => [name, sha256(part ?? "")]));
}

/**
 * A text that stands for a model: its metadata and tensors, and of every file the size and a checksum of pieces from
 * all over it. Another model of the same geometry differs everywhere, so this finds it in milliseconds, where reading
 * the whole would take minutes; a model that differs in few weights is found when it is resumed from, by the rows of
 * each slice that is kept (`resume.ts`). Neither place nor date of the files matter. Of a file on a server the version
 * that the server names (an ETag, a commit) stands for the pieces.
 */
export async function identityOf(source: ModelSource): Promise<string> {
  const files = await Promise.all(source.files.map(identityOfFile));
  const { header } = planGguf({ metadata: source.metadata, tensors: source.tensors });
  return JSON.stringify([createHash("sha256").update(header).digest("hex"), ...files]);
}

async function identityOfFile(source: ByteSource): Promise<readonly [number, string]> {
  return [source.byteLength, source.remote?.version ?? (await sampledSha256(source))];
}

async function sampledSha256(source: ByteSource): Promise<string> {
  const hash = createHash("sha256");
  const length = Math.min(sampleBytes, source.byteLength);
  for (let i = 0; i < samples; i++) {
    const offset = Math.floor(((source.byteLength - length) * i) / (samples - 1));
    hash.update(await source.read(offset, length));
  }
  return hash.digest("hex");
}

/** What tells of each local file whether it was written to since: size, date and inode. */
export async function datesOf(source: ModelSource): Promise<string[]> {
  return await Promise.all(
    source.files.map(async ({ name, remote }) => {
      const found = remote ? undefined : await stat(name, { bigint: true }).catch(() => undefined);
      return found ? `${found.size} ${found.mtimeNs} ${found.ino}` : "";
    }),
  );
}

/** Throws a MalformedInputError if a file of the source was written to while it was read. */
export function checkUnchanged(
  { files }: ModelSource,
  begun: readonly string[],
  now: readonly string[],
): void {
  const changed = files.find((_, index) => begun[index] !== now[index]);
  if (changed !== undefined) {
    throw new MalformedInputError(
      `${changed.name}: was changed while it was being read; run the command again when nothing writes to it.`,
      { file: changed.name },
    );
  }
}

/** Throws a UsageError that names the parts in which the run differs from the one that began the output. */
export function checkSame(output: string, begun: Fingerprint, now: Fingerprint): void {
  const names = new Set([...begun.keys(), ...now.keys()]);
  const different = [...names].filter((name) => begun.get(name) !== now.get(name));
  if (different.length === 0) {
    return;
  }
  const list = different
    .map((name) => `another ${name}`)
    .join(", ")
    .replace(/, ([^,]*)$/, " and $1");
  throw new UsageError(
    `${output}: its unfinished run was begun with ${list}; repeat the command it was begun with, or start over with \`restart\`.`,
    { file: output, different: different.join(", ") },
  );
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
