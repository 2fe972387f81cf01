/**
 * What a model's name tells: `Qwen/Qwen3-Coder-30B-A3B-Instruct` is the 30B-A3B size of Qwen's Qwen3, fine-tuned
 * to Coder-Instruct. The conventions are those of llama.cpp `gguf-py/gguf/metadata.py`, so that files get the same
 * `general.*` keys.
 */

export interface ModelId {
  readonly name?: string;
  readonly organization?: string;
  readonly basename?: string;
  readonly finetune?: string;
  readonly version?: string;
  readonly sizeLabel?: string;
}

type Kind = "version" | "type" | "size" | "finetune";

interface Part {
  readonly text: string;
  kind: Kind | undefined;
  inBasename: boolean;
}

const versionPattern = /^(v|iter)?\d+(\.\d+)*$/i;
const typePattern = /^(i?q\d(_\w)*|b?fp?(16|32))$/i;
const sizePattern = /^((a|\d+x)?\d+([._]\d+)?[kmbt]\d?|small|mini|medium|large|x?xl)$/i;
const finetunePattern = /^(chat|instruct|vision|lora)$/i;

/**
 * Takes apart a Hugging Face id or a folder's name. `parameters` is the model's number of weights: a size far
 * from it (like the 32k of a context) counts as part of the fine-tune's name.
 */
export function parseModelId(id: string, parameters: number): ModelId {
  if (id.trim() === "") {
    return {};
  }
  if (id.includes(" ")) {
    return { name: id };
  }
  const slash = id.indexOf("/");
  const organization = slash < 0 ? undefined : id.slice(0, slash);
  const name = id.slice(slash + 1);
  const parts = name
    .split("-")
    .filter((text) => text !== "")
    .map((text, index) => classify(text, index, parameters));
  preferNumericSizes(parts);
  markBasename(parts);
  const join = (chosen: (part: Part) => boolean) => {
    const texts = parts.filter(chosen).map((part) => part.text);
    return texts.length > 0 ? texts.join("-") : undefined;
  };
  const sizes = [...new Set(parts.filter((part) => part.kind === "size").map((part) => part.text))];
  const sizeLabel = sizes.length > 0 ? sizes.join("-") : undefined;
  const finetune = join((part) => part.kind === "finetune");
  const version = join((part) => part.kind === "version" && !part.inBasename);
  // A name without any of these says too little to take its words for a base name.
  const basename = sizeLabel || finetune || version ? join((part) => part.inBasename) : undefined;
  return {
    name,
    ...(organization && !organization.startsWith(".") && { organization }),
    ...(basename && { basename }),
    ...(finetune && { finetune }),
    ...(version && { version }),
    ...(sizeLabel && { sizeLabel }),
  };
}

/** `qwen3-coder` as a title: `Qwen3 Coder`. Words with capitals, versions and numbers stay as they are. */
export function titleOf(name: string): string {
  return name
    .replaceAll("-", " ")
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((word) => (isLowerCase(word) && !/^(v\d+(\.\d+)*|\d.*)$/.test(word) ? titleCase(word) : word))
    .join(" ");
}

function isLowerCase(word: string): boolean {
  return word === word.toLowerCase() && word !== word.toUpperCase();
}

/** Each letter that follows no letter becomes a capital. */
function titleCase(word: string): string {
  return word.replace(/(?<!\p{L})\p{L}/gu, (letter) => letter.toUpperCase());
}

function classify(text: string, index: number, parameters: number): Part {
  const part = (kind: Kind | undefined, written = text): Part => ({ text: written, kind, inBasename: false });
  if (versionPattern.test(text)) {
    return part("version");
  }
  if (typePattern.test(text)) {
    return part("type", text.toUpperCase());
  }
  if (index > 0 && sizePattern.test(text)) {
    const size = normalizeSize(text);
    if (isFarFrom(size, parameters)) {
      return part("finetune", size.slice(0, -1) + size.slice(-1).toLowerCase());
    }
    return part("size", size);
  }
  if (index > 0 && finetunePattern.test(text)) {
    return part("finetune");
  }
  return part(undefined);
}

/** `7b1` (as Bloom writes 7.1B) and `1_5b` become `7.1B` and `1.5B`. */
function normalizeSize(text: string): string {
  const size = text.replaceAll("_", ".").replace(/^(.*)([a-z])(\d)$/i, "$1.$3$2");
  return size.replace(/(?<=\d)[kmbt]$/, (unit) => unit.toUpperCase());
}

function isFarFrom(size: string, parameters: number): boolean {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)([KMBT])$/.exec(size) ?? [];
  if (digits === undefined || unit === undefined || parameters === 0) {
    return false;
  }
  const claimed = Number(digits) * 1000 ** " KMBT".indexOf(unit);
  return Math.abs(claimed - parameters) > Math.floor((7 * parameters) / 8);
}

/** Next to a size in numbers, a word like "mini" is no size. */
function preferNumericSizes(parts: readonly Part[]): void {
  const sizes = parts.filter((part) => part.kind === "size");
  if (!sizes.some((part) => /\d/.test(part.text))) {
    return;
  }
  for (const part of sizes) {
    if (/^\p{L}+$/u.test(part.text)) {
      part.kind = undefined;
    }
  }
}

/** The base name is the run of words and versions at the start, without versions at its end. */
function markBasename(parts: readonly Part[]): void {
  let atStart = true;
  for (const part of parts) {
    const fits = part.kind === "version" || (part.kind === undefined && /^\p{L}/u.test(part.text));
    atStart = atStart && fits;
    if (atStart) {
      part.inBasename = true;
    } else {
      part.kind ??= "finetune";
    }
  }
  for (const part of [...parts].reverse()) {
    if (!part.inBasename || part.kind === undefined) {
      break;
    }
    part.inBasename = false;
  }
}
