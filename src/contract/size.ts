/** Sizes as people write them. */
import { UsageError } from "../errors.js";

const units: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ["k", 1e3],
  ["kb", 1e3],
  ["m", 1e6],
  ["mb", 1e6],
  ["g", 1e9],
  ["gb", 1e9],
  ["t", 1e12],
  ["tb", 1e12],
  ["kib", 2 ** 10],
  ["mib", 2 ** 20],
  ["gib", 2 ** 30],
  ["tib", 2 ** 40],
]);

/** Reads `11.4GB` or, as llama-gguf-split writes it, `11.4G` (powers of ten), `10.6 GiB` (powers of two) or a plain number of bytes; throws a UsageError. */
export function parseSize(text: string): number {
  const [, number, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const factor = units.get(unit?.toLowerCase() ?? "?");
  if (number === undefined || factor === undefined) {
    throw new UsageError(
      `"${text}" is not a size; write it like 11.4GB (10^9 bytes) or 10.6GiB (2^30 bytes).`,
      {
        size: text,
      },
    );
  }
  const bytes = Math.floor(Number(number) * factor);
  if (bytes > 0 && Number.isSafeInteger(bytes)) {
    return bytes;
  }
  throw new UsageError(`a size of ${text} is not possible; it must be above 0 and below 9 PB.`, {
    size: text,
  });
}
