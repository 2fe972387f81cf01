/** The `tokenizer.*` keys: vocabulary, special tokens, chat templates. */
import type { Folder } from "../../../bytes/folder.js";
import { MalformedInputError } from "../../../errors.js";
import type { Metadata } from "../../../gguf/metadata.js";
import { MetadataBuilder } from "../builder.js";
import { Fields } from "../fields.js";
import { chatTemplateMetadata } from "./chat-template.js";
import { preTokenizerName } from "./pre-tokenizer.js";
import { type Role, specialTokenMetadata } from "./special-tokens.js";
import { readVocabulary } from "./vocabulary.js";

/** What a family's tokenizer has beside what its files say. */
export interface TokenizerTraits {
  /** Roles of added tokens that the files do not give. */
  readonly roles?: Readonly<Partial<Record<Role, string>>>;
  /** Whether `add_prefix_space` of tokenizer_config.json becomes a key. */
  readonly hasSpacePrefix?: boolean;
}

/** All `tokenizer.*` keys of a model with `size` tokens. */
export async function tokenizerMetadata(
  folder: Folder,
  config: Fields,
  size: number,
  traits: TokenizerTraits = {},
): Promise<Metadata> {
  const tokenizer = await Fields.read(folder, "tokenizer.json");
  if (!tokenizer) {
    throw new MalformedInputError(
      `${folder.name}: has no tokenizer.json; download it, or write it with transformers' save_pretrained.`,
      { file: folder.name },
    );
  }
  const tokenizerConfig = await Fields.read(folder, "tokenizer_config.json");
  const { tokens, types, merges } = readVocabulary(tokenizer, tokenizerConfig, size);
  const spacePrefix = traits.hasSpacePrefix ? tokenizerConfig?.flag("add_prefix_space") : undefined;
  return new MetadataBuilder()
    .string("tokenizer.ggml.model", "gpt2")
    .string("tokenizer.ggml.pre", preTokenizerName(tokenizer))
    .strings("tokenizer.ggml.tokens", tokens)
    .int32s("tokenizer.ggml.token_type", types)
    .strings("tokenizer.ggml.merges", merges)
    .flag("tokenizer.ggml.add_space_prefix", spacePrefix)
    .add(specialTokenMetadata({ tokenizer, tokenizerConfig, config, roles: traits.roles }, size))
    .add(await chatTemplateMetadata(folder, tokenizerConfig)).entries;
}
