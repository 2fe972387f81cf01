/**
 * Which of llama.cpp's pre-tokenizers cuts text as tokenizer.json says. llama.cpp's converter tells them by a
 * checksum over an encoded test text; we compare the rules themselves, which needs no tokenizer and also knows
 * fine-tunes with changed vocabularies. Expressions: llama.cpp `src/llama-vocab.cpp` (llm_tokenizer_bpe), in the
 * spelling of the original tokenizer.json files.
 */
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from "../../../bytes/json.js";
import { MalformedInputError } from "../../../errors.js";
import type { Fields } from "../fields.js";

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const spaces = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const wordStart = "[^\\r\\n\\p{L}\\p{N}]?";

/** Step that maps bytes to characters without cutting, and one that also cuts as GPT-2 did. */
const bytes = "bytes";
const bytesAndGpt2 = "bytes, cut as GPT-2";

interface KnownPreTokenizer {
  /** `tokenizer.ggml.pre`. */
  readonly name: string;
  readonly steps: readonly string[];
  /** Whether llama.cpp takes a whole word that is in the vocabulary without merging; must agree with the file. */
  readonly ignoresMerges?: true;
}

const known: readonly KnownPreTokenizer[] = [
  { name: "gpt-2", steps: [bytesAndGpt2] },
  {
    name: "qwen2",
    steps: [`${contractions}|${wordStart}\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`, bytes],
  },
  {
    name: "qwen35",
    steps: [
      `${contractions}|${wordStart}[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${spaces}`,
      bytes,
    ],
  },
  {
    name: "llama-bpe",
    steps: [
      `${contractions}|${wordStart}\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`,
      bytes,
    ],
    ignoresMerges: true,
  },
  {
    name: "gpt-4o",
    steps: [
      `${wordStart}${upper}*${lower}+${contractions}?|${wordStart}${upper}+${lower}*${contractions}?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`,
      bytes,
    ],
  },
  {
    name: "tekken",
    steps: [
      `${wordStart}${upper}*${lower}+|${wordStart}${upper}+${lower}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`,
      bytes,
    ],
    ignoresMerges: true,
  },
  {
    name: "deepseek-v3",
    steps: [
      "\\p{N}{1,3}",
      "[一-龥぀-ゟ゠-ヿ]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
      bytes,
    ],
  },
];

/**
 * The `tokenizer.ggml.pre` of a tokenizer.json. Throws a MalformedInputError that shows the rules if llama.cpp
 * has none that cuts in the same way.
 */
export function preTokenizerName(tokenizer: Fields): string {
  const steps = stepsOf(tokenizer.value("pre_tokenizer") ?? null);
  const ignoresMerges = tokenizer.requireObject("model").flag("ignore_merges") ?? false;
  const found = known.find(
    (candidate) =>
      candidate.steps.join("\n") === steps.join("\n") && (candidate.ignoresMerges ?? false) === ignoresMerges,
  );
  if (found) {
    return found.name;
  }
  throw new MalformedInputError(
    `${tokenizer.file}: the pre-tokenizer ${JSON.stringify(steps)} with ignore_merges ${ignoresMerges} is not one that Lopsided knows in llama.cpp (${known.map(({ name }) => name).join(", ")}); convert this model with llama.cpp's convert_hf_to_gguf.py.`,
    { file: tokenizer.file },
  );
}

/** The steps of a pre-tokenizer: the expression of an isolating split, or a word for anything else. */
function stepsOf(value: JsonValue): readonly string[] {
  if (!isJsonObject(value)) {
    return [];
  }
  const parts = value.get("pretokenizers");
  if (value.get("type") === "Sequence" && isJsonArray(parts)) {
    return parts.flatMap(stepsOf);
  }
  return [stepOf(value)];
}

function stepOf(step: JsonObject): string {
  const type = String(step.get("type"));
  if (type === "ByteLevel" && step.get("add_prefix_space") !== true) {
    return step.get("use_regex") === false ? bytes : bytesAndGpt2;
  }
  const pattern = step.get("pattern");
  const expression = isJsonObject(pattern) ? pattern.get("Regex") : undefined;
  const isolates = step.get("behavior") === "Isolated" && step.get("invert") !== true;
  if (type === "Split" && isolates && typeof expression === "string") {
    return expression;
  }
  return type;
}
