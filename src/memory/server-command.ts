/** How a model is run with llama-server. */
import type { CacheType } from "../engine/cache-types.js";

export interface ServerSettings {
  /** Tokens for each sequence. */
  readonly context: number;
  readonly sequences: number;
  readonly cacheTypeK: CacheType;
  readonly cacheTypeV: CacheType;
}

/** A word of a shell command. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The llama-server command line; `modelWords` say which model. */
export function serverCommand(modelWords: readonly string[], settings: ServerSettings): string {
  const { context, sequences, cacheTypeK, cacheTypeV } = settings;
  const types = [
    ...(cacheTypeK === "F16" ? [] : ["-ctk", cacheTypeK.toLowerCase()]),
    ...(cacheTypeV === "F16" ? [] : ["-ctv", cacheTypeV.toLowerCase()]),
  ];
  // llama-server divides -c among its slots; a quantized value cache needs flash attention.
  const isQuantized = cacheTypeV !== "F16" && cacheTypeV !== "F32" && cacheTypeV !== "BF16";
  const flash = isQuantized ? ["-fa", "on"] : [];
  const words = ["llama-server", ...modelWords, "-c", context * sequences, "-np", sequences, "-ngl", 99];
  return [...words, ...types, ...flash].join(" ");
}
