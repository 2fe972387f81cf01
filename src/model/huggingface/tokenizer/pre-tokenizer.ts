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

/** How the class of all letters begins that DeepSeek-LLM's tokenizers spell out. */
const deepseekLetters = "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯ";

/** Step that maps bytes to characters without cutting, and one that also cuts as GPT-2 did. */
const bytes = "bytes";
const bytesAndGpt2 = "bytes, cut as GPT-2";

/** Single digits, and runs of them, as steps of their own. */
const singleDigits = "digits, one by one";
const digitRuns = "digits";
const punctuation = "punctuation";

interface KnownPreTokenizer {
  /** Values of `tokenizer.ggml.pre` that cut so, the usual one first. */
  readonly names: readonly string[];
  readonly steps: readonly string[];
  /** Whether llama.cpp takes a whole word that is in the vocabulary without merging; must agree with the file. */
  readonly ignoresMerges?: true;
}

const llama3 = `${contractions}|${wordStart}\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`;
const qwen2 = `${contractions}|${wordStart}\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`;
const gpt4o = `${wordStart}${upper}*${lower}+${contractions}?|${wordStart}${upper}+${lower}*${contractions}?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`;
const cjk = "[一-龥ࠀ-一가-퟿]+";
const deepseekText =
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
const manySpaces =
  "\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}";

const known: readonly KnownPreTokenizer[] = [
  { names: ["gpt-2", "olmo", "mpt", "jais", "exaone4", "trillion"], steps: [bytesAndGpt2] },
  {
    names: ["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"],
    steps: [singleDigits, bytesAndGpt2],
  },
  { names: ["falcon"], steps: [punctuation, bytesAndGpt2, digitRuns, "[0-9][0-9][0-9]"] },
  { names: ["qwen2", "stablelm2", "hunyuan", "megrez", "grok-2", "solar-open"], steps: [qwen2, bytes] },
  {
    names: ["qwen35"],
    steps: [
      `${contractions}|${wordStart}[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${spaces}`,
      bytes,
    ],
  },
  { names: ["llama-bpe", "lfm2", "falcon3", "pixtral"], steps: [llama3, bytes], ignoresMerges: true },
  { names: ["glm4", "dbrx", "smaug-bpe", "chatglm-bpe"], steps: [llama3, bytes] },
  { names: ["gpt-4o", "llama4", "minimax-m2", "kanana2"], steps: [gpt4o, bytes] },
  {
    names: ["tekken"],
    steps: [
      `${wordStart}${upper}*${lower}+|${wordStart}${upper}+${lower}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`,
      bytes,
    ],
    ignoresMerges: true,
  },
  { names: ["tiny_aya", "cohere2moe"], steps: ["\\d{1,3}(?=(?:\\d{3})*\\b)", gpt4o, bytes] },
  {
    names: ["deepseek-v3", "hunyuan-dense", "joyai-llm"],
    steps: ["\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", deepseekText, bytes],
  },
  {
    names: ["deepseek-coder"],
    steps: ["[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", cjk, singleDigits, bytes],
  },
  {
    names: ["deepseek-llm"],
    steps: [
      "[\r\n]",
      "letters of DeepSeek",
      "\\s?[!-/:-~！-／：-～‘-‟　-。]+",
      "\\s+$",
      cjk,
      singleDigits,
      bytes,
    ],
  },
  {
    names: ["jais-2"],
    steps: [
      `${contractions}|${wordStart}\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|${manySpaces}`,
      bytes,
    ],
  },
  {
    names: ["bailingmoe2", "bailingmoe", "llada-moe"],
    steps: [
      "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
      bytes,
    ],
  },
  {
    names: ["seed-coder"],
    steps: [
      `${contractions}|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+`,
      bytes,
    ],
  },
  {
    names: ["exaone-moe"],
    steps: [
      `${contractions}|${wordStart}(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`,
      bytes,
    ],
  },
  {
    names: ["minicpm5"],
    steps: [
      "\\p{N}{1,3}",
      `${contractions}|${wordStart}\\p{L}+|\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`,
      bytes,
    ],
    ignoresMerges: true,
  },
  { names: ["superbpe"], steps: ["\\p{N}+", "(?=(\\d{3})+(?!\\d))", bytes] },
  { names: ["poro-chat", "bloom", "gpt3-finnish"], steps: [" ?[^(\\s|.,!?…。，、।۔،)]+", bytes] },
  { names: ["viking"], steps: [" ?[^(\\s|.,!?…。，、।۔،)]+", singleDigits, bytes] },
];

/**
 * The `tokenizer.ggml.pre` of a tokenizer.json. Of several names for one way of cutting that of the family is
 * taken. Throws a MalformedInputError that shows the rules if llama.cpp has none that cuts in the same way.
 */
export function preTokenizerName(tokenizer: Fields, ofFamily?: string): string {
  const steps = stepsOf(tokenizer.value("pre_tokenizer") ?? null);
  const ignoresMerges = tokenizer.requireObject("model").flag("ignore_merges") ?? false;
  const alike = known.filter((candidate) => candidate.steps.join("\n") === steps.join("\n"));
  if (ofFamily !== undefined && alike.some(({ names }) => names.includes(ofFamily))) {
    return ofFamily;
  }
  const found = alike.find((candidate) => (candidate.ignoresMerges ?? false) === ignoresMerges);
  const [name] = found?.names ?? [];
  if (name !== undefined) {
    return name;
  }
  throw new MalformedInputError(
    `${tokenizer.file}: the pre-tokenizer ${JSON.stringify(steps)} with ignore_merges ${ignoresMerges} is not one that Lopsided knows in llama.cpp (${known.map(({ names }) => names[0]).join(", ")}); convert this model with llama.cpp's convert_hf_to_gguf.py.`,
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
  if (type === "Digits") {
    return step.get("individual_digits") === true ? singleDigits : digitRuns;
  }
  if (type === "Punctuation" && (step.get("behavior") ?? "Contiguous") === "Contiguous") {
    return punctuation;
  }
  const pattern = step.get("pattern");
  const expression = isJsonObject(pattern) ? pattern.get("Regex") : undefined;
  const isolates = step.get("behavior") === "Isolated" && step.get("invert") !== true;
  if (type === "Split" && isolates && typeof expression === "string") {
    return expression.startsWith(deepseekLetters) ? "letters of DeepSeek" : expression;
  }
  return type;
}
