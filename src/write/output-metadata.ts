/** What a quantized file says about itself: llama.cpp's keys as llama-quantize writes them, and our provenance. */
import { shownName } from "../bytes/address.js";
import { utf8Length } from "../bytes/utf8.js";
import { UsageError } from "../errors.js";
import type { Metadata, MetadataValue } from "../gguf/metadata.js";

/** `GGML_QNT_VERSION` of llama.cpp. */
const quantizationVersion = 2;

/** llama.cpp stores override strings in fields of this many bytes, and cuts what is longer. */
const longestOverrideBytes = 127;

/** Stands for a checksum that is not known yet. */
export const unknownSha256 = "0".repeat(64);

/** Where a quantized file came from. */
export interface Provenance {
  /** Of Lopsided. */
  readonly version: string;
  /** The recipe's text, or the name of a mixture. */
  readonly recipe: string;
  /** The other options that decide bytes, as on the command line. */
  readonly options: string;
  /** Of each file of the source. */
  readonly sourceSha256: readonly string[];
  readonly imatrixSha256: string | undefined;
  readonly momentsSha256?: string | undefined;
  /** Of each file of kept activations. */
  readonly activationsSha256?: readonly string[];
  /** Of the text that was calibrated on in the same run. */
  readonly calibrationSha256?: string | undefined;
}

/** What an importance matrix is called, and how much is in it. */
export interface NamedImatrix {
  readonly name: string;
  readonly datasets: readonly string[];
  readonly entries: { readonly size: number };
  readonly chunkCount: number;
}

export interface OutputMetadataOptions {
  readonly source: Metadata;
  /** Number of `enum llama_ftype`. */
  readonly fileType: number;
  readonly imatrix: NamedImatrix | undefined;
  readonly overrides: Metadata;
  readonly provenance: Provenance;
}

/**
 * The source's metadata with llama-quantize's changes in its order (llama.cpp `src/llama-quant.cpp`,
 * `tools/quantize/quantize.cpp`), then ours. Of the imatrix's path and its text's only the file's name is kept: where it lay
 * must not change the output's bytes.
 */
export function outputMetadata(options: OutputMetadataOptions): Metadata {
  const { source, fileType, imatrix, overrides, provenance } = options;
  const metadata = new Map(source);
  metadata.set("general.quantization_version", { type: "uint32", value: quantizationVersion });
  metadata.set("general.file_type", { type: "uint32", value: fileType });
  for (const [key, value] of overrides) {
    metadata.set(key, value);
  }
  if (imatrix) {
    metadata.set("quantize.imatrix.file", text(cut(shownName(imatrix.name))));
    const [dataset] = imatrix.datasets;
    if (dataset !== undefined) {
      metadata.set("quantize.imatrix.dataset", text(cut(shownName(dataset))));
    }
    metadata.set("quantize.imatrix.entries_count", { type: "uint32", value: imatrix.entries.size });
    if (imatrix.chunkCount > 0) {
      metadata.set("quantize.imatrix.chunks_count", { type: "uint32", value: imatrix.chunkCount });
    }
  }
  metadata.set("lopsided.version", text(provenance.version));
  metadata.set("lopsided.recipe", text(provenance.recipe));
  metadata.set("lopsided.options", text(provenance.options));
  metadata.set("lopsided.source.sha256", {
    type: "array",
    itemType: "string",
    value: provenance.sourceSha256,
  });
  if (provenance.imatrixSha256 !== undefined) {
    metadata.set("lopsided.imatrix.sha256", text(provenance.imatrixSha256));
  }
  if (provenance.momentsSha256 !== undefined) {
    metadata.set("lopsided.moments.sha256", text(provenance.momentsSha256));
  }
  if (provenance.calibrationSha256 !== undefined) {
    metadata.set("lopsided.calibration.sha256", text(provenance.calibrationSha256));
  }
  if (provenance.activationsSha256?.length) {
    metadata.set("lopsided.activations.sha256", {
      type: "array",
      itemType: "string",
      value: provenance.activationsSha256,
    });
  }
  return metadata;
}

function text(value: string): MetadataValue {
  return { type: "string", value };
}

/** The longest beginning that fits llama.cpp's field without splitting a character. */
function cut(value: string): string {
  let end = value.length;
  while (utf8Length(value.slice(0, end)) > longestOverrideBytes) {
    end--;
  }
  return value.slice(0, end);
}

/**
 * Reads llama-quantize's `--override-kv KEY=TYPE:VALUE` with the types int, float, bool and str; like there, an
 * int is stored as uint32 and a float as float32. Throws a UsageError that says what is wrong.
 */
export function parseOverrides(texts: readonly string[]): Metadata {
  return new Map(texts.map(parseOverride));
}

function parseOverride(given: string): [string, MetadataValue] {
  const match = /^([^=]+)=(int|float|bool|str):(.*)$/s.exec(given);
  const [, key, type, value] = match ?? [];
  if (key === undefined || type === undefined || value === undefined) {
    throw new UsageError(
      `\`overrideKv\` ${given}: is not of the form KEY=TYPE:VALUE with a TYPE of int, float, bool or str.`,
    );
  }
  return [key, overrideValue(given, type, value)];
}

/** Types that llama.cpp reads keys as whose source does not say it; by the key's end. */
const expectedTypes: readonly (readonly [RegExp, MetadataValue["type"]])[] = [
  [/^general\.(?:architecture|name|type)$|^tokenizer\.(?:ggml\.(?:model|pre)|chat_template)$/, "string"],
  [
    /_token_id$|\.(?:block|expert|expert_used|head)_count(?:_kv)?$|\.(?:context|embedding|feed_forward)_length$/,
    "uint32",
  ],
  [/\.(?:rope\.freq_base|rope\.scaling\.factor|expert_weights_scale)$|_epsilon$/, "float32"],
  [/^tokenizer\.ggml\.add_\w+_token$|\.expert_weights_norm$|\.attention\.causal$/, "bool"],
];

/**
 * Throws a UsageError for an override of a type that llama.cpp will not read: it wants a key's values in exactly one
 * type, that of the source or a known one, and refuses the whole file otherwise.
 */
export function checkOverrides(overrides: Metadata, source: Metadata): void {
  for (const [key, { type }] of overrides) {
    const [, known] = expectedTypes.find(([pattern]) => pattern.test(key)) ?? [];
    const readable = [known, source.get(key)?.type].filter((one) => one !== undefined);
    const [expected] = readable;
    if (expected !== undefined && !readable.includes(type)) {
      throw new UsageError(
        `--override-kv ${key}: llama.cpp reads it as ${expected}, and would refuse a file in which it is ${type}; give it as ${overrideNames.get(expected) ?? "the source has it, since such values cannot be given"}.`,
        { key },
      );
    }
  }
}

/** What `--override-kv` calls the types it can give. */
const overrideNames: ReadonlyMap<string, string> = new Map([
  ["uint32", "int"],
  ["float32", "float"],
  ["bool", "bool"],
  ["string", "str"],
]);

function overrideValue(given: string, type: string, value: string): MetadataValue {
  const number = value.trim() === "" ? Number.NaN : Number(value);
  switch (type) {
    case "int":
      if (!Number.isInteger(number) || number < 0 || number > 0xffffffff) {
        throw new UsageError(
          `\`overrideKv\` ${given}: the value must be a whole number from 0 to 4294967295.`,
        );
      }
      return { type: "uint32", value: number };
    case "float":
      if (!Number.isFinite(Math.fround(number))) {
        throw new UsageError(
          `\`overrideKv\` ${given}: the value must be a number that float32 has room for.`,
        );
      }
      return { type: "float32", value: number };
    case "bool":
      if (value !== "true" && value !== "false") {
        throw new UsageError(`\`overrideKv\` ${given}: the value must be true or false.`);
      }
      return { type: "bool", value: value === "true" };
    default:
      return text(value);
  }
}
