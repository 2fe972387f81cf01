/** The `tokenizer.*` keys: vocabulary, special tokens, chat templates. */
import { type Folder, hasFile } from "../../../bytes/folder.js";
import { readJsonText } from "../../../bytes/json.js";
import { MalformedInputError } from "../../../errors.js";
import type { Metadata } from "../../../gguf/metadata.js";
import { MetadataBuilder } from "../builder.js";
import { Fields } from "../fields.js";
import { chatTemplateMetadata } from "./chat-template.js";
import { characterBpeVocabulary, sentencePieceVocabulary } from "./piece-vocabulary.js";
import { preTokenizerName } from "./pre-tokenizer.js";
import { readSentencePieceModel } from "./sentencepiece.js";
import { type SpecialTokenRole, specialTokenMetadata } from "./special-tokens.js";
import { tiktokenVocabulary } from "./tiktoken.js";
import { readVocabulary } from "./vocabulary.js";

/** Largest tiktoken file read. Those of 160 000 tokens have three megabytes. */
const maxTiktokenBytes = 67_108_864;

/** What a family's tokenizer has beside what its files say. */
export interface TokenizerTraits {
  /** Roles of added tokens that the files do not give. */
  readonly roles?: Readonly<Partial<Record<SpecialTokenRole, string>>>;
  /** When `add_prefix_space` of tokenizer_config.json becomes a key. */
  readonly spacePrefix?: "always" | "with SentencePiece";
  /** Which of llama.cpp's names for one way of cutting is the family's. */
  readonly preTokenizer?: string;
}

interface TokenizerSource {
  readonly folder: Folder;
  readonly tokenizer: Fields | undefined;
  readonly tokenizerConfig: Fields | undefined;
  readonly size: number;
  readonly traits: TokenizerTraits;
}

/**
 * All `tokenizer.*` keys of a model with `size` tokens, from tokenizer.json (byte-level BPE, or BPE of characters),
 * tokenizer.model (SentencePiece) or tiktoken.model. Throws a MalformedInputError if there is none of them, or if
 * llama.cpp cannot cut texts as it says.
 */
export async function tokenizerMetadata(
  folder: Folder,
  config: Fields,
  size: number,
  traits: TokenizerTraits = {},
): Promise<Metadata> {
  const tokenizer = await Fields.read(folder, "tokenizer.json");
  const tokenizerConfig = await Fields.read(folder, "tokenizer_config.json");
  const source = { folder, tokenizer, tokenizerConfig, size, traits };
  const vocabulary = await vocabularyMetadata(source);
  return (
    new MetadataBuilder()
      .add(vocabulary)
      .add(specialTokenMetadata({ tokenizer, tokenizerConfig, config, roles: traits.roles }, size))
      // What a kind of vocabulary always has counts before what the files say.
      .add(vocabulary)
      .add(await chatTemplateMetadata(folder, tokenizerConfig)).entries
  );
}

async function vocabularyMetadata(source: TokenizerSource): Promise<Metadata> {
  const { folder, tokenizer } = source;
  const hasBytes = tokenizer?.object("model")?.flag("byte_fallback") ?? false;
  if (tokenizer && !hasBytes) {
    return byteBpe(tokenizer, source);
  }
  if (await hasFile(folder, "tokenizer.model")) {
    return await sentencePiece(source);
  }
  if (tokenizer && isCharacterBpe(tokenizer)) {
    return characterBpe(tokenizer, source);
  }
  if (await hasFile(folder, "tiktoken.model")) {
    return await tiktoken(source);
  }
  if (tokenizer) {
    // For the error that says what is wrong with it.
    return byteBpe(tokenizer, source);
  }
  throw new MalformedInputError(
    `${folder.name}: has no tokenizer.json (nor tokenizer.model or tiktoken.model); download it, or write it with transformers' save_pretrained.`,
    { file: folder.name },
  );
}

function byteBpe(tokenizer: Fields, { tokenizerConfig, size, traits }: TokenizerSource): Metadata {
  const { tokens, types, merges } = readVocabulary(tokenizer, tokenizerConfig, size);
  const spacePrefix = traits.spacePrefix === "always" ? tokenizerConfig?.flag("add_prefix_space") : undefined;
  return new MetadataBuilder()
    .string("tokenizer.ggml.model", "gpt2")
    .string("tokenizer.ggml.pre", preTokenizerName(tokenizer, traits.preTokenizer))
    .strings("tokenizer.ggml.tokens", tokens)
    .int32s("tokenizer.ggml.token_type", types)
    .strings("tokenizer.ggml.merges", merges)
    .flag("tokenizer.ggml.add_space_prefix", spacePrefix).entries;
}

/** Gemma 4: spaces become a character of their own, and the whole text is merged. */
function isCharacterBpe(tokenizer: Fields): boolean {
  const normalizer = tokenizer.object("normalizer");
  const steps = normalizer?.has("normalizers") ? normalizer.objects("normalizers") : [normalizer];
  return steps.some(
    (step) => step?.string("type") === "Replace" && step.object("pattern")?.string("String") === " ",
  );
}

function characterBpe(tokenizer: Fields, { tokenizerConfig, size }: TokenizerSource): Metadata {
  const { tokens, scores, types, merges } = characterBpeVocabulary(tokenizer, tokenizerConfig, size);
  return new MetadataBuilder()
    .string("tokenizer.ggml.model", "gemma4")
    .strings("tokenizer.ggml.tokens", tokens)
    .float32s("tokenizer.ggml.scores", scores)
    .int32s("tokenizer.ggml.token_type", types)
    .strings("tokenizer.ggml.merges", merges)
    .flag("tokenizer.ggml.add_space_prefix", false)
    .flag("tokenizer.ggml.add_bos_token", true).entries;
}

async function sentencePiece({ folder, tokenizerConfig, size, traits }: TokenizerSource): Promise<Metadata> {
  const file = await folder.open("tokenizer.model");
  if (!file) {
    throw new MalformedInputError(`${folder.name}: tokenizer.model is listed but cannot be read.`, {
      file: folder.name,
    });
  }
  try {
    const model = await readSentencePieceModel(file);
    const added = { tokens: await Fields.read(folder, "added_tokens.json"), config: tokenizerConfig };
    const { tokens, scores, types } = sentencePieceVocabulary(model, added, size);
    const isUnigram = model.algorithm === "unigram";
    const spacePrefix = traits.spacePrefix ? tokenizerConfig?.flag("add_prefix_space") : undefined;
    const builder = new MetadataBuilder()
      .string("tokenizer.ggml.model", isUnigram ? "t5" : "llama")
      .string("tokenizer.ggml.pre", "default")
      .strings("tokenizer.ggml.tokens", tokens)
      .float32s("tokenizer.ggml.scores", scores)
      .int32s("tokenizer.ggml.token_type", types)
      .flag("tokenizer.ggml.add_space_prefix", isUnigram ? model.normalizer.addsSpacePrefix : spacePrefix);
    if (isUnigram) {
      builder
        .flag("tokenizer.ggml.remove_extra_whitespaces", model.normalizer.removesExtraSpaces)
        .bytes("tokenizer.ggml.precompiled_charsmap", model.normalizer.replacements);
    }
    return builder.entries;
  } finally {
    await file.close();
  }
}

/** Kimi's vocabularies, of which llama.cpp knows how texts are cut. */
async function tiktoken({ folder, tokenizerConfig, size }: TokenizerSource): Promise<Metadata> {
  const file = await folder.open("tiktoken.model");
  if (!file) {
    throw new MalformedInputError(`${folder.name}: tiktoken.model is listed but cannot be read.`, {
      file: folder.name,
    });
  }
  try {
    const text = await readJsonText(file, maxTiktokenBytes);
    const { tokens, types, merges } = tiktokenVocabulary(file.name, text, tokenizerConfig, size);
    return new MetadataBuilder()
      .string("tokenizer.ggml.model", "gpt2")
      .string("tokenizer.ggml.pre", "kimi-k2")
      .strings("tokenizer.ggml.tokens", tokens)
      .int32s("tokenizer.ggml.token_type", types)
      .strings("tokenizer.ggml.merges", merges).entries;
  } finally {
    await file.close();
  }
}
