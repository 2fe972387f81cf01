/** Types of the KV cache. */
import { UsageError } from "../errors.js";

/** Types that llama-server's --cache-type-k and --cache-type-v take. */
export const cacheTypes = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "IQ4_NL", "Q5_0", "Q5_1"] as const;

export type CacheType = (typeof cacheTypes)[number];

/** Reads a cache type in any case; throws a UsageError that lists the types. */
export function parseCacheType(text: string): CacheType {
  const type = cacheTypes.find((name) => name === text.toUpperCase());
  if (type !== undefined) {
    return type;
  }
  throw new UsageError(
    `"${text}" is not a type of KV cache; llama-server has ${cacheTypes.join(", ").toLowerCase()}.`,
    {
      type: text,
    },
  );
}
