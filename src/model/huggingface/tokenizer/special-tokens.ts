/**
 * Ids of the tokens with a role (begin, end, padding, ...) and whether they are added to a text, from
 * tokenizer_config.json, the post-processor's template in tokenizer.json, and config.json, in that order:
 * llama.cpp `gguf-py/gguf/vocab.py` (SpecialVocab).
 */
import type { Metadata } from "../../../gguf/metadata.js";
import { MetadataBuilder } from "../builder.js";
import type { Fields } from "../fields.js";
import { tokenContent } from "./added-tokens.js";

/** Roles in the order of the file, with their GGUF keys. llama.cpp has none for `cls`. */
const roleKeys = {
  bos: "bos_token_id",
  eos: "eos_token_id",
  unk: "unknown_token_id",
  sep: "seperator_token_id",
  pad: "padding_token_id",
  cls: undefined,
  mask: "mask_token_id",
  eot: "eot_token_id",
  eom: "eom_token_id",
} as const;

export type SpecialTokenRole = keyof typeof roleKeys;
type Names = Map<SpecialTokenRole, string | undefined>;
type AddFlags = Map<"bos" | "eos" | "sep", boolean>;

/** What special tokens are found in. */
export interface TokenizerFiles {
  /** tokenizer.json, if there is one. */
  readonly tokenizer: Fields | undefined;
  readonly tokenizerConfig: Fields | undefined;
  readonly config: Fields;
  /** Roles that a family gives to added tokens, where the files do not. */
  readonly roles?: Readonly<Partial<Record<SpecialTokenRole, string>>> | undefined;
}

/** The `tokenizer.ggml.*_token_id` and `add_*_token` keys. `size` is the number of tokens. */
export function specialTokenMetadata(files: TokenizerFiles, size: number): Metadata {
  const { tokenizerConfig, config } = files;
  const tokenizer = files.tokenizer ?? config.with(new Map());
  const names: Names = new Map();
  for (const role of Object.keys(roleKeys) as SpecialTokenRole[]) {
    if (role !== "eot" && role !== "eom") {
      names.set(role, tokenContent(tokenizerConfig?.value(`${role}_token`)));
    }
  }
  names.set("bos", names.get("bos") ?? names.get("cls"));
  names.set("eos", names.get("eos") ?? names.get("sep"));
  const add = readTemplates(tokenizer, names);
  for (const role of ["bos", "eos", "sep"] as const) {
    const flag = tokenizerConfig?.value(`add_${role}_token`);
    if (typeof flag === "boolean") {
      add.set(role, flag);
    }
  }
  const builder = new MetadataBuilder();
  for (const [role, id] of tokenIds(tokenizer, tokenizerConfig ? names : new Map(), files)) {
    if (id >= size) {
      config.wrong(`${role}_token_id`, `an id below ${size}`);
    }
    const key = roleKeys[role];
    if (key) {
      builder.uint32(`tokenizer.ggml.${key}`, id);
    }
  }
  for (const [role, flag] of add) {
    builder.flag(`tokenizer.ggml.add_${role}_token`, flag);
  }
  return builder.entries;
}

function tokenIds(
  tokenizer: Fields,
  names: Names,
  { config, roles = {} }: TokenizerFiles,
): ReadonlyMap<SpecialTokenRole, number> {
  const added = new Map(
    tokenizer.objects("added_tokens").map((token) => [token.string("content"), token.requireCount("id")]),
  );
  const ids = new Map<SpecialTokenRole, number>();
  for (const [role, name] of names) {
    const id = name === undefined ? undefined : added.get(name);
    if (id !== undefined) {
      ids.set(role, id);
    }
  }
  for (const role of Object.keys(roleKeys) as SpecialTokenRole[]) {
    if ((role === "eot" || role === "eom") && !names.has(role)) {
      continue;
    }
    // Some models have a list of end tokens here, which this key cannot hold.
    const id = config.value(`${role}_token_id`);
    if (typeof id === "number" && !ids.has(role)) {
      ids.set(role, config.requireCount(`${role}_token_id`));
    }
  }
  for (const [role, name] of Object.entries(roles) as [SpecialTokenRole, string][]) {
    const id = added.get(name);
    if (id !== undefined && !ids.has(role)) {
      ids.set(role, id);
    }
  }
  return ids;
}

/** What a template puts around a text: names of special tokens and the letters of the texts. */
function templateItems(template: readonly Fields[]): readonly { token?: string; text?: string }[] {
  return template.map((item) => {
    const token = item.object("SpecialToken")?.string("id");
    const text = item.object("Sequence")?.string("id");
    return { ...(token !== undefined && { token }), ...(text !== undefined && { text }) };
  });
}

/**
 * Finds in the post-processor which tokens stand at the begin, at the end and between two texts. A token that
 * tokenizer_config.json does not know takes the role in `names`.
 */
function readTemplates(tokenizer: Fields, names: Names): AddFlags {
  const add: AddFlags = new Map();
  const post = tokenizer.object("post_processor");
  const processors = post?.has("processors") ? post.objects("processors") : post ? [post] : [];
  for (const processor of processors) {
    if (processor.string("type") !== "TemplateProcessing") {
      continue;
    }
    const single = templateItems(processor.objects("single"));
    const first = single.length > 1 ? single[0]?.token : undefined;
    const last = single.length > 1 ? single.at(-1)?.token : undefined;
    if (first !== undefined) {
      add.set("bos", takeFirst(names, first));
    }
    if (last !== undefined) {
      takeLast(names, last);
      add.set("eos", true);
    }
    const between = betweenTexts(templateItems(processor.objects("pair")), first, last);
    if (between.length > 0) {
      add.set("sep", takeSeparator(names, between, last));
    }
  }
  return add;
}

function takeFirst(names: Names, first: string): boolean {
  if (first === names.get("bos") || first === names.get("cls")) {
    return true;
  }
  const isFree = !names.get("bos") || !names.get("cls");
  names.set("bos", names.get("bos") ?? first);
  names.set("cls", names.get("cls") ?? first);
  return isFree;
}

/** The template's end token counts as end of text; the configured one then is the end of a turn. */
function takeLast(names: Names, last: string): void {
  const configured = names.get("eos");
  if (configured === last) {
    return;
  }
  names.set("eot", configured);
  names.set("eos", last);
}

/** The items between the two texts of a pair; empty if the template is of another form. */
function betweenTexts(
  pair: readonly { token?: string; text?: string }[],
  first: string | undefined,
  last: string | undefined,
): readonly { token?: string }[] {
  const from = first !== undefined && pair[0]?.token === first ? 1 : 0;
  const to = last !== undefined && pair.at(-1)?.token === last ? -1 : undefined;
  const inner = pair.slice(from, to);
  return inner[0]?.text === "A" && inner.at(-1)?.text === "B" ? inner.slice(1, -1) : [];
}

function takeSeparator(
  names: Names,
  between: readonly { token?: string }[],
  last: string | undefined,
): boolean {
  const separates = (token: string | undefined) =>
    token !== undefined && (token === names.get("sep") || token === names.get("eos"));
  const [one, two] = between;
  const adds =
    (separates(one?.token) && last === undefined) || (between.length === 2 && separates(two?.token));
  if (adds && !names.get("sep")) {
    names.set("sep", names.get("eos"));
  }
  return adds;
}
